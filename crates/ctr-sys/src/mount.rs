//! Mounts: the new mount API by descriptor (fsopen(2), fsmount(2), move_mount(2)) and unmounting that cannot miss.
