//! The part of Go's templates that people write after `--format`: fields, `json`, `join` and text.

use std::str::FromStr;

use serde_json::Value;

/// A template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Field(Vec<String>),
    Json(Vec<String>),
    Join(Vec<String>, String),
}

impl FromStr for Template {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (action, after) = after.split_once("}}").ok_or("a {{ is not closed")?;
            parts.push(action_of(action.trim_matches(['-', ' ']))?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

fn action_of(action: &str) -> Result<Part, String> {
    let words: Vec<&str> = action.split_whitespace().collect();
    match words.as_slice() {
        [field] => Ok(Part::Field(path(field)?)),
        ["json", field] => Ok(Part::Json(path(field)?)),
        ["join", field, separator @ ..] => {
            let separator = separator.join(" ");
            Ok(Part::Join(
                path(field)?,
                separator.trim_matches('"').to_owned(),
            ))
        }
        _ => Err(format!(
            "{{{{{action}}}}} is not understood: use {{{{.Field}}}}, {{{{json .Field}}}} or {{{{join .Field \",\"}}}}"
        )),
    }
}

fn path(text: &str) -> Result<Vec<String>, String> {
    let fields = text
        .strip_prefix('.')
        .ok_or_else(|| format!("{text:?} is no field: it begins with a dot"))?;
    Ok(fields
        .split('.')
        .filter(|field| !field.is_empty())
        .map(str::to_owned)
        .collect())
}

fn look_up<'v>(value: &'v Value, path: &[String]) -> anyhow::Result<&'v Value> {
    let mut at = value;
    for field in path {
        let object = at.as_object();
        let found = object.and_then(|object| {
            // podman takes .ID for .Id; so do scripts.
            object.get(field).or_else(|| {
                object
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(field))
                    .map(|(_, value)| value)
            })
        });
        at = found.ok_or_else(|| {
            let known: Vec<&String> = object.into_iter().flat_map(serde_json::Map::keys).collect();
            anyhow::anyhow!("the format has no field {field:?}: use one of {known:?}")
        })?;
    }
    Ok(at)
}

/// A value as Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(shown).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", shown(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

impl Template {
    /// The text for one object.
    ///
    /// # Errors
    /// When the object has no such field.
    pub(crate) fn render(&self, value: &Value) -> anyhow::Result<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(path) => text.push_str(&shown(look_up(value, path)?)),
                Part::Json(path) => text.push_str(&look_up(value, path)?.to_string()),
                Part::Join(path, separator) => {
                    let items = look_up(value, path)?
                        .as_array()
                        .cloned()
                        .unwrap_or_default();
                    text.push_str(&items.iter().map(shown).collect::<Vec<_>>().join(separator));
                }
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_printed_as_go_does() {
        let value = serde_json::json!({ "Id": "x", "State": { "Code": 3, "On": true }, "Names": ["a", "b"], "None": null });
        let render = |text: &str| text.parse::<Template>().unwrap().render(&value).unwrap();
        assert_eq!(render("{{.ID}}\\t{{ .State.Code }}!"), "x\t3!");
        assert_eq!(
            render("{{json .State}} {{.Names}} {{join .Names \",\"}}"),
            r#"{"Code":3,"On":true} [a b] a,b"#
        );
        assert_eq!(render("{{.None}}{{.State}}"), "<nil>map[Code:3 On:true]");
        assert!(
            "{{.X}}"
                .parse::<Template>()
                .unwrap()
                .render(&value)
                .is_err()
        );
        assert!("{{.X".parse::<Template>().is_err() && "{{range .X}}".parse::<Template>().is_err());
    }
}
