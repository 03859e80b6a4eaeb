//! A store in a temporary directory with one image.

use std::collections::BTreeMap;

use ctr_state::record::{ContainerRecord, ImageRecord, LayerRecord};
use ctr_state::store::Expect;
use ctr_state::{DurablePhase, Grade, Store, StoreError};
use ctr_types::config::{ContainerConfig, ProcessConfig, Rootfs};
use ctr_types::{ContainerId, Digest, Timestamp};

pub(crate) fn image_id() -> Digest {
    Digest::of(b"image")
}

pub(crate) fn layer(name: &str) -> LayerRecord {
    LayerRecord {
        diff_id: Digest::of(name.as_bytes()),
        blob: Digest::of(format!("{name}.gz").as_bytes()),
        blob_size: 10,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        size: 100,
        files: 7,
    }
}

pub(crate) fn image() -> ImageRecord {
    ImageRecord {
        id: image_id(),
        manifest: Digest::of(b"manifest"),
        manifest_size: 3,
        created: None,
        architecture: "amd64".into(),
        os: "linux".into(),
        labels: BTreeMap::from([("l".into(), "v".into())]),
        imported: Timestamp::UNIX_EPOCH,
        layers: vec![layer("a").diff_id, layer("b").diff_id],
        names: vec![],
        size: 0,
    }
}

pub(crate) fn container(name: &str) -> ContainerRecord {
    let rootfs = Rootfs::Image {
        id: image_id(),
        name: "busybox".into(),
        layers: vec![],
    };
    let process = ProcessConfig {
        command: vec!["true".into()],
        ..ProcessConfig::default()
    };
    let id = ContainerId::random().unwrap();
    let mut config = ContainerConfig::new(id, name.parse().unwrap(), rootfs, process);
    config.labels.insert("a".into(), "b".into());
    ContainerRecord {
        config,
        phase: DurablePhase::Configured,
    }
}

pub(crate) fn store_with_image() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db"), Expect::Any).unwrap();
    store
        .transact(Grade::Durable, |txn| {
            txn.put_layer(&layer("a"))?;
            txn.put_layer(&layer("b"))?;
            txn.put_image(&image())?;
            txn.set_image_name("localhost/busybox:latest", &image_id())
        })
        .unwrap();
    (dir, store)
}

pub(crate) fn insert(store: &mut Store, record: &ContainerRecord) -> Result<(), StoreError> {
    store.transact(Grade::Durable, |txn| txn.insert_container(record))
}
