//! Images, their names and layers.

use ctr_types::{ContainerId, Digest};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Attempt as _, Store, StoreError, Txn, from_json, from_nanos, from_size, from_text, to_json,
    to_nanos, to_size,
};
use crate::record::{ImageRecord, LayerRecord};

impl Store {
    /// Every image, newest in the store first.
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM image ORDER BY imported DESC, id")
            .attempt("list images")?;
        let ids: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .attempt("list images")?;
        let mut images = Vec::with_capacity(ids.len());
        for id in ids {
            let id: Digest = from_text(id, "an image")?;
            images.extend(self.image(&id)?);
        }
        Ok(images)
    }

    /// The image, if it is there.
    pub fn image(&self, id: &Digest) -> Result<Option<ImageRecord>, StoreError> {
        let object = format!("image {id}");
        let Some((manifest, manifest_size, created, imported, architecture, os, labels)) = self
            .connection
            .prepare_cached(
                "SELECT manifest, manifest_size, created, imported, architecture, os, labels \
                 FROM image WHERE id = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_str()], |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get::<_, i64>(1)?,
                            row.get::<_, Option<i64>>(2)?,
                            row.get::<_, i64>(3)?,
                            row.get::<_, String>(4)?,
                            row.get::<_, String>(5)?,
                            row.get::<_, String>(6)?,
                        ))
                    })
                    .optional()
            })
            .attempt("read an image")?
        else {
            return Ok(None);
        };
        let layers = self.digests(
            "SELECT diff_id FROM image_layer WHERE image = ?1 ORDER BY position",
            id.as_str(),
        )?;
        let names: Vec<String> = self
            .connection
            .prepare_cached("SELECT name FROM image_name WHERE image = ?1 ORDER BY name")
            .and_then(|mut statement| {
                statement
                    .query_map([id.as_str()], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .attempt("read the names of an image")?;
        let size: i64 = self
            .connection
            .prepare_cached(
                "SELECT coalesce(sum(size), 0) FROM layer WHERE diff_id IN \
                 (SELECT diff_id FROM image_layer WHERE image = ?1)",
            )
            .and_then(|mut statement| statement.query_row([id.as_str()], |row| row.get(0)))
            .attempt("read the size of an image")?;
        Ok(Some(ImageRecord {
            id: id.clone(),
            manifest: from_text(manifest, &object)?,
            manifest_size: from_size(manifest_size),
            created: created.map(from_nanos),
            architecture,
            os,
            labels: from_json(&labels, &object)?,
            imported: from_nanos(imported),
            layers,
            names,
            size: from_size(size),
        }))
    }

    fn digests(&self, query: &'static str, key: &str) -> Result<Vec<Digest>, StoreError> {
        let texts: Vec<String> = self
            .connection
            .prepare_cached(query)
            .and_then(|mut statement| {
                statement
                    .query_map([key], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .attempt("read layers")?;
        texts
            .into_iter()
            .map(|text| from_text(text, "a layer"))
            .collect()
    }

    /// The image with exactly this name.
    pub fn image_named(&self, name: &str) -> Result<Option<Digest>, StoreError> {
        let found: Option<String> = self
            .connection
            .prepare_cached("SELECT image FROM image_name WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .attempt("look up an image")?;
        found
            .map(|id| from_text(id, &format!("image {name}")))
            .transpose()
    }

    /// The image with exactly this name, this id, or the only one whose id begins so. What a short name stands for is
    /// the caller's to know.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub fn resolve_image(&self, text: &str) -> Result<Digest, StoreError> {
        match self.image_named(text)? {
            Some(id) => Ok(id),
            None => self.image_by_id(text),
        }
    }

    /// The image with this id, or the only one whose id begins so; with or without `sha256:`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub fn image_by_id(&self, text: &str) -> Result<Digest, StoreError> {
        let missing = || StoreError::NotFound {
            kind: "image",
            text: text.to_owned(),
        };
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() < 2 || hex.len() > 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let first = format!("sha256:{}", hex.to_ascii_lowercase());
        let found: Vec<String> = self
            .connection
            .prepare_cached("SELECT id FROM image WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 10")
            .and_then(|mut statement| {
                statement
                    .query_map([first], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .attempt("look up an image")?;
        match found.as_slice() {
            [] => Err(missing()),
            [id] => from_text(id.clone(), &format!("image {text}")),
            several => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                candidates: several
                    .iter()
                    .map(|id| id.chars().skip(7).take(12).collect())
                    .collect(),
            }),
        }
    }

    /// Every layer.
    pub fn layers(&self) -> Result<Vec<LayerRecord>, StoreError> {
        self.layers_where(
            "SELECT diff_id, blob, blob_size, media_type, size, files FROM layer",
            [],
        )
    }

    /// Layers that no image has.
    pub fn unreferenced_layers(&self) -> Result<Vec<LayerRecord>, StoreError> {
        self.layers_where(
            "SELECT diff_id, blob, blob_size, media_type, size, files FROM layer \
             WHERE diff_id NOT IN (SELECT diff_id FROM image_layer)",
            [],
        )
    }

    /// The layer, if it is there.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<LayerRecord>, StoreError> {
        let found = self.layers_where(
            "SELECT diff_id, blob, blob_size, media_type, size, files FROM layer WHERE diff_id = ?1",
            [diff_id.as_str()],
        )?;
        Ok(found.into_iter().next())
    }

    /// The containers made from an image.
    pub fn containers_of_image(&self, id: &Digest) -> Result<Vec<ContainerId>, StoreError> {
        let texts: Vec<String> = self
            .connection
            .prepare_cached("SELECT id FROM container WHERE image = ?1 ORDER BY id")
            .and_then(|mut statement| {
                statement
                    .query_map([id.as_str()], |row| row.get(0))
                    .and_then(Iterator::collect)
            })
            .attempt("look up the containers of an image")?;
        let object = format!("a container of image {id}");
        texts
            .into_iter()
            .map(|text| from_text(text, &object))
            .collect()
    }

    fn layers_where(
        &self,
        query: &'static str,
        key: impl rusqlite::Params,
    ) -> Result<Vec<LayerRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(query)
            .attempt("list layers")?;
        let mut rows = statement.query(key).attempt("list layers")?;
        let mut layers = Vec::new();
        while let Some(row) = rows.next().attempt("list layers")? {
            let text = |index| row.get::<_, String>(index).attempt("list layers");
            let size = |index| {
                row.get::<_, i64>(index)
                    .map(from_size)
                    .attempt("list layers")
            };
            layers.push(LayerRecord {
                diff_id: from_text(text(0)?, "a layer")?,
                blob: from_text(text(1)?, "a layer")?,
                blob_size: size(2)?,
                media_type: text(3)?,
                size: size(4)?,
                files: size(5)?,
            });
        }
        Ok(layers)
    }
}

impl Txn<'_> {
    /// Adds a layer; one that is there stays as it is.
    pub fn put_layer(&self, layer: &LayerRecord) -> Result<(), StoreError> {
        self.0
            .execute(
                "INSERT INTO layer VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    layer.diff_id.as_str(),
                    layer.blob.as_str(),
                    to_size(layer.blob_size),
                    layer.media_type,
                    to_size(layer.size),
                    to_size(layer.files)
                ],
            )
            .attempt("add a layer")?;
        Ok(())
    }

    /// Removes a layer that no image has.
    ///
    /// # Errors
    /// [`StoreError::LayerInUse`] while an image has it.
    pub fn delete_layer(&self, diff_id: &Digest) -> Result<(), StoreError> {
        let used: bool = self
            .0
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM image_layer WHERE diff_id = ?1)",
                [diff_id.as_str()],
                |row| row.get(0),
            )
            .attempt("look up the images of a layer")?;
        if used {
            return Err(StoreError::LayerInUse(diff_id.clone()));
        }
        self.0
            .execute("DELETE FROM layer WHERE diff_id = ?1", [diff_id.as_str()])
            .attempt("remove a layer")?;
        Ok(())
    }

    /// That the image is there; `shown` is what the user calls it.
    pub(super) fn require_image(&self, id: &Digest, shown: &str) -> Result<(), StoreError> {
        let exists: bool = self
            .0
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM image WHERE id = ?1)",
                [id.as_str()],
                |row| row.get(0),
            )
            .attempt("look up an image")?;
        if exists {
            return Ok(());
        }
        Err(StoreError::NotFound {
            kind: "image",
            text: shown.to_owned(),
        })
    }

    /// Adds an image; one that is there stays as it is. Its layers must be there. Names are not touched.
    pub fn put_image(&self, image: &ImageRecord) -> Result<(), StoreError> {
        let added = self
            .0
            .execute(
                "INSERT INTO image VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                params![
                    image.id.as_str(),
                    image.manifest.as_str(),
                    to_size(image.manifest_size),
                    image.created.map(to_nanos),
                    image.architecture,
                    image.os,
                    to_json(&image.labels, &format!("image {}", image.id))?,
                    to_nanos(image.imported)
                ],
            )
            .attempt("add an image")?;
        if added == 0 {
            return Ok(());
        }
        for (position, diff_id) in image.layers.iter().enumerate() {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            self.0
                .execute(
                    "INSERT INTO image_layer VALUES (?1, ?2, ?3)",
                    params![image.id.as_str(), position, diff_id.as_str()],
                )
                .attempt("add an image's layer")?;
        }
        Ok(())
    }

    /// Gives an image a name, taking it from the image that had it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the image has gone meanwhile.
    pub fn set_image_name(&self, name: &str, image: &Digest) -> Result<(), StoreError> {
        self.require_image(image, image.as_str())?;
        self.0
            .execute(
                "INSERT INTO image_name VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET image = excluded.image",
                [name, image.as_str()],
            )
            .attempt("name an image")?;
        Ok(())
    }

    /// Takes a name away; `false` when there was none.
    pub fn remove_image_name(&self, name: &str) -> Result<bool, StoreError> {
        self.0
            .execute("DELETE FROM image_name WHERE name = ?1", [name])
            .map(|changed| changed > 0)
            .attempt("take a name from an image")
    }

    /// Removes an image and its names. Its layers stay until they are removed one by one.
    ///
    /// # Errors
    /// [`StoreError::ImageInUse`] while containers were made from it.
    pub fn delete_image(&self, id: &Digest) -> Result<(), StoreError> {
        let containers: Vec<String> = self
            .0
            .prepare_cached(
                "SELECT name FROM container JOIN name ON container = id WHERE image = ?1 ORDER BY name",
            )
            .and_then(|mut statement| {
                statement.query_map([id.as_str()], |row| row.get(0)).and_then(Iterator::collect)
            })
            .attempt("look up the containers of an image")?;
        if !containers.is_empty() {
            return Err(StoreError::ImageInUse {
                image: id.clone(),
                containers,
            });
        }
        self.0
            .execute("DELETE FROM image WHERE id = ?1", [id.as_str()])
            .attempt("remove an image")?;
        Ok(())
    }
}
