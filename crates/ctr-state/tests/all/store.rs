//! What the store keeps, refuses and finds again.

use ctr_state::record::{EventRecord, OpKind, OpRecord};
use ctr_state::store::{Expect, HARD_LOG_LIMIT};
use ctr_state::{DurablePhase, Grade, Store, StoreError};
use ctr_types::config::{Namespace, Rootfs};
use ctr_types::{OpId, Timestamp};

use crate::fixture::{container, image, image_id, insert, layer, store_with_image};

#[test]
fn a_container_is_found_by_name_id_and_unique_prefix() {
    let (_dir, mut store) = store_with_image();
    let web = container("web");
    insert(&mut store, &web).unwrap();
    let id = &web.config.id;
    assert_eq!(store.container(id).unwrap().unwrap(), web);
    for text in ["web", id.as_str(), id.short(), &id.as_str()[..1]] {
        assert_eq!(store.resolve_container(text).unwrap(), *id, "{text}");
    }
    for text in ["", "we", "zz", "' OR 1=1"] {
        let error = store.resolve_container(text).unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{text}");
    }
    for number in 0..17 {
        insert(&mut store, &container(&format!("c{number}"))).unwrap();
    }
    let several = (0..16).map(|digit| format!("{digit:x}")).any(|digit| {
        matches!(store.resolve_container(&digit), Err(StoreError::Ambiguous { candidates, .. })
            if candidates.len() >= 2)
    });
    assert!(several, "18 ids share a first digit");
}

#[test]
fn t08_a_name_is_unique_and_goes_with_its_container() {
    let (_dir, mut store) = store_with_image();
    let first = container("web");
    insert(&mut store, &first).unwrap();
    let second = container("web");
    let error = insert(&mut store, &second).unwrap_err();
    assert!(
        error.to_string().contains(first.config.id.short()),
        "{error}"
    );
    assert!(
        store.container(&second.config.id).unwrap().is_none(),
        "nothing half-made"
    );
    store
        .transact(Grade::Volatile, |txn| {
            txn.delete_container(&first.config.id)
        })
        .unwrap();
    insert(&mut store, &second).unwrap();
}

#[test]
fn b26_rename_moves_the_name_in_one_step() {
    let (_dir, mut store) = store_with_image();
    let mut web = container("web");
    insert(&mut store, &web).unwrap();
    insert(&mut store, &container("taken")).unwrap();
    web.config.name = "taken".parse().unwrap();
    web.config.generation += 1;
    let error = store
        .transact(Grade::Durable, |txn| txn.replace_config(&web.config))
        .unwrap_err();
    assert!(matches!(error, StoreError::NameInUse { .. }));
    assert_eq!(store.resolve_container("web").unwrap(), web.config.id);
    web.config.name = "api".parse().unwrap();
    store
        .transact(Grade::Durable, |txn| txn.replace_config(&web.config))
        .unwrap();
    assert_eq!(store.resolve_container("api").unwrap(), web.config.id);
    assert!(store.resolve_container("web").is_err());
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let (_dir, mut store) = store_with_image();
    let web = container("web");
    let outcome: Result<(), StoreError> = store.transact(Grade::Durable, |txn| {
        txn.insert_container(&web)?;
        txn.set_phase(&container("other").config.id, &DurablePhase::Removing)
    });
    assert!(matches!(outcome, Err(StoreError::Removed(_))));
    assert!(store.container_rows().unwrap().is_empty());
}

#[test]
fn an_image_in_use_stays_and_an_unused_one_frees_its_layers() {
    let (_dir, mut store) = store_with_image();
    let web = container("web");
    insert(&mut store, &web).unwrap();
    let error = store
        .transact(Grade::Durable, |txn| txn.delete_image(&image_id()))
        .unwrap_err();
    assert!(error.to_string().contains("web"), "{error}");
    store
        .transact(Grade::Durable, |txn| {
            txn.delete_container(&web.config.id)?;
            txn.delete_image(&image_id())
        })
        .unwrap();
    assert!(
        store
            .image_named("localhost/busybox:latest")
            .unwrap()
            .is_none()
    );
    let mut freed: Vec<_> = store
        .unreferenced_layers()
        .unwrap()
        .into_iter()
        .map(|layer| layer.diff_id)
        .collect();
    freed.sort();
    let mut expected = image().layers;
    expected.sort();
    assert_eq!(freed, expected);
    let error = insert(&mut store, &container("late")).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "image", .. }));
}

#[test]
fn an_image_is_found_by_name_and_id_and_names_move() {
    let (_dir, mut store) = store_with_image();
    let id = image_id();
    let found = store.image(&id).unwrap().unwrap();
    assert_eq!((found.size, found.names.len()), (200, 1));
    for text in [id.as_str(), id.hex(), id.short()] {
        assert_eq!(store.image_by_id(text).unwrap(), id);
    }
    assert!(store.image_by_id("busybox").is_err());
    let mut other = image();
    other.id = ctr_types::Digest::of(b"other");
    other.layers = vec![layer("a").diff_id];
    store
        .transact(Grade::Durable, |txn| {
            txn.put_image(&other)?;
            txn.put_image(&other)?;
            txn.set_image_name("localhost/busybox:latest", &other.id)
        })
        .unwrap();
    assert_eq!(
        store.image_named("localhost/busybox:latest").unwrap(),
        Some(other.id)
    );
    assert_eq!(store.images().unwrap().len(), 2);
}

#[test]
fn operations_and_events_are_kept_in_order() {
    let (_dir, mut store) = store_with_image();
    let op = OpRecord {
        id: OpId::random().unwrap(),
        kind: OpKind::Create,
        container: Some(container("x").config.id),
        boot: "b".parse().unwrap(),
        started: Timestamp::UNIX_EPOCH,
        step: "begun".into(),
    };
    store
        .transact(Grade::Volatile, |txn| txn.begin_op(&op))
        .unwrap();
    assert_eq!(store.ops().unwrap(), std::slice::from_ref(&op));
    store
        .transact(Grade::Volatile, |txn| txn.finish_op(&op.id))
        .unwrap();
    assert!(store.ops().unwrap().is_empty());
    for action in ["create", "start"] {
        let event = EventRecord {
            time: Timestamp::UNIX_EPOCH,
            object: "container".into(),
            action: action.into(),
            id: "i".into(),
            name: "n".into(),
            attributes: [("k".into(), "v".into())].into(),
        };
        store
            .transact(Grade::Volatile, |txn| txn.add_event(&event))
            .unwrap();
    }
    let events = store.events(0).unwrap();
    assert_eq!(
        events
            .iter()
            .map(|(_, e)| e.action.as_str())
            .collect::<Vec<_>>(),
        ["create", "start"]
    );
    assert_eq!(store.events(events[0].0).unwrap().len(), 1);
}

#[test]
fn f15_a_missing_empty_or_foreign_database_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let damaged = |expect| matches!(Store::open(&path, expect), Err(StoreError::Damaged { .. }));
    assert!(damaged(Expect::Existing), "missing");
    std::fs::File::create(&path).unwrap();
    assert!(damaged(Expect::Existing), "empty");
    ctr_sys::fs::write_atomic(
        &path,
        &[b'x'; 9000],
        0o600,
        ctr_sys::fs::Durability::ProcessDeath,
    )
    .unwrap();
    assert!(damaged(Expect::Existing) && damaged(Expect::Any), "garbage");
}

#[test]
fn f37_a_newer_format_is_refused() {
    let (dir, store) = store_with_image();
    drop(store);
    let path = dir.path().join("state.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&path, Expect::Existing).unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn f16_one_damaged_record_hides_no_other() {
    let (dir, mut store) = store_with_image();
    let (bad, good) = (container("bad"), container("good"));
    insert(&mut store, &bad).unwrap();
    insert(&mut store, &good).unwrap();
    rusqlite::Connection::open(dir.path().join("state.db"))
        .unwrap()
        .execute(
            "UPDATE container SET phase = '{' WHERE id = ?1",
            [bad.config.id.as_str()],
        )
        .unwrap();
    let rows = store.container_rows().unwrap();
    assert!(
        matches!(&rows[0], Err(StoreError::DamagedRecord { object, .. })
        if object.contains(bad.config.id.as_str()))
    );
    assert_eq!(rows[1].as_ref().unwrap().id, good.config.id);
}

#[test]
fn the_log_stays_bounded() {
    let (dir, mut store) = store_with_image();
    let web = container("web");
    insert(&mut store, &web).unwrap();
    for _ in 0..2000 {
        store
            .transact(Grade::Volatile, |txn| {
                txn.set_phase(&web.config.id, &DurablePhase::Configured)
            })
            .unwrap();
    }
    let log = std::fs::metadata(dir.path().join("state.db-wal"))
        .unwrap()
        .len();
    assert!(log <= HARD_LOG_LIMIT + (64 << 10), "{log}");
    store.verify().unwrap();
}

#[test]
fn t07_a_configuration_is_replaced_only_by_the_one_that_follows_it() {
    let (_dir, mut store) = store_with_image();
    let mut web = container("web");
    insert(&mut store, &web).unwrap();
    let replace = |store: &mut Store, config: &ctr_types::ContainerConfig| {
        store.transact(Grade::Durable, |txn| txn.replace_config(config))
    };
    let same = replace(&mut store, &web.config);
    assert!(matches!(same, Err(StoreError::Superseded(_))), "{same:?}");
    web.config.generation = 1;
    web.config.stop_timeout = 3;
    replace(&mut store, &web.config).unwrap();
    let late = replace(&mut store, &web.config);
    assert!(
        matches!(late, Err(StoreError::Superseded(_))),
        "two of one generation"
    );
    let kept = store.container(&web.config.id).unwrap().unwrap();
    assert_eq!(kept.config.stop_timeout, 3);
    let gone = container("gone");
    let gone = replace(&mut store, &gone.config);
    assert!(matches!(gone, Err(StoreError::Removed(_))));
}

#[test]
fn t11_what_others_need_goes_last() {
    let (_dir, mut store) = store_with_image();
    let base = container("base");
    let mut user = container("user");
    user.config.namespaces.pid = Namespace::Container(base.config.id.clone());
    let early = insert(&mut store, &user);
    assert!(
        matches!(early, Err(StoreError::Removed(_))),
        "it needs what is not there"
    );
    insert(&mut store, &base).unwrap();
    insert(&mut store, &user).unwrap();
    let needed = &base.config.id;
    assert_eq!(store.dependents(needed).unwrap(), [user.config.id.clone()]);
    let refused: Result<(), StoreError> =
        store.transact(Grade::Volatile, |txn| txn.require_no_dependents(needed));
    assert!(refused.unwrap_err().to_string().contains("user"));
    let forced: Result<(), StoreError> =
        store.transact(Grade::Volatile, |txn| txn.delete_container(needed));
    assert!(forced.is_err(), "the schema holds it, whoever asks");
    let removing = |store: &mut Store| -> Result<(), StoreError> {
        store.transact(Grade::Volatile, |txn| {
            txn.delete_container(&user.config.id)?;
            txn.require_no_dependents(needed)?;
            txn.set_phase(needed, &DurablePhase::Removing)
        })
    };
    removing(&mut store).unwrap();
    let late = insert(&mut store, &user);
    assert!(matches!(late, Err(StoreError::DependencyRemoving(_))));
}

#[test]
fn f37_a_store_of_the_first_format_is_brought_along() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema-1.sql")).unwrap();
    let web = container("web");
    let json = serde_json::to_string(&web.config).unwrap();
    let image = image_id();
    old.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         INSERT INTO image VALUES ('{image}', '{image}', 1, NULL, 'amd64', 'linux', '{{}}', 0);
         INSERT INTO container VALUES ('{id}', 5, '{image}', 'busybox', '[\"true\"]', '{{}}', 0, '{{\"phase\":\"configured\"}}');
         INSERT INTO config VALUES ('{id}', '{json}');
         INSERT INTO name VALUES ('web', '{id}');
         PRAGMA user_version = 1;",
        id = web.config.id,
    ))
    .unwrap();
    drop(old);
    let mut store = Store::open(&path, Expect::Existing).unwrap();
    assert_eq!(store.container(&web.config.id).unwrap().unwrap(), web);
    assert_eq!(store.resolve_container("web").unwrap(), web.config.id);
    let rows = store.container_rows().unwrap();
    assert_eq!(rows[0].as_ref().unwrap().image, Some(image));
    let mut user = container("user");
    user.config.namespaces.pid = Namespace::Container(web.config.id.clone());
    insert(&mut store, &user).unwrap();
    store.verify().unwrap();
    let gone: Result<(), StoreError> = store.transact(Grade::Volatile, |txn| {
        txn.delete_container(&user.config.id)?;
        txn.delete_container(&web.config.id)
    });
    gone.unwrap();
    assert!(
        store.resolve_container("web").is_err(),
        "the name goes with its owner"
    );
}

#[test]
fn t09_a_container_without_an_image_is_kept_too() {
    let (_dir, mut store) = store_with_image();
    let mut bare = container("bare");
    bare.config.rootfs = Rootfs::Directory {
        path: "/srv/root".into(),
        overlay: true,
    };
    bare.config.cgroup_parent = Some("/machine".into());
    insert(&mut store, &bare).unwrap();
    let rows = store.container_rows().unwrap();
    let row = rows[0].as_ref().unwrap();
    assert_eq!((&row.image, row.image_name.as_str()), (&None, "/srv/root"));
    let parent = store.cgroup_parent(&bare.config.id).unwrap();
    assert_eq!(parent.as_deref(), Some("/machine"));
    insert(&mut store, &container("plain")).unwrap();
    let plain = store.resolve_container("plain").unwrap();
    assert_eq!(store.cgroup_parent(&plain).unwrap(), None);
}
