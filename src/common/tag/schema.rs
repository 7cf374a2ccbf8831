//! The JSON Schema of the definition file, for completion and checks in editors.

use super::keys::{Key, Object, Shape, TOP};
use serde_json::{Map, Value, json};

/// JSON Schema, draft 2020-12, made from the same table of keys as the reader.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "adprof definition file",
        "description": "The tags that adprof computes for each user, and for the keys of other entities.",
    });
    if let (Value::Object(all), Value::Object(object)) = (&mut schema, object(&TOP)) {
        all.extend(object);
    }
    schema
}

fn object(object: &Object) -> Value {
    let properties: Map<String, Value> = object.keys.iter().map(|key| (key.name.to_string(), property(key))).collect();
    let required: Vec<&str> = object.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = match &key.shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::OneOf(choices) => json!({ "type": "string", "enum": choices() }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::TextOrTexts => json!({
            "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1
        }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Share => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})?%$" }),
        Shape::Table(inner) => object(inner),
        Shape::Tables(inner) => json!({ "type": "array", "items": object(inner) }),
    };
    schema["description"] = json!(key.doc);
    schema
}
