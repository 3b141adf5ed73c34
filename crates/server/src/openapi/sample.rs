//! Samples for people: the curl line of an operation, with a body made from its schema.

use serde_json::{Map, Value, json};
use utoipa::openapi::path::Operation;

/// How deep a sample body goes.
const DEPTH: usize = 4;

/// A line that calls the operation; `$URL` and `$TOKEN` are the reader's.
pub(super) fn curl(
    method: &str,
    path: &str,
    authorised: bool,
    operation: &Operation,
    schemas: &Value,
) -> String {
    let mut line = String::from("curl");
    if method != "get" {
        line.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    line.push_str(&format!(" \"$URL{}\"", filled(path, operation, schemas)));
    if authorised {
        line.push_str(" -H \"Authorization: Bearer $TOKEN\"");
    }
    let body = serde_json::to_value(&operation.request_body).unwrap_or_default();
    if let Some((media_type, content)) = body
        .get("content")
        .and_then(Value::as_object)
        .and_then(|content| content.iter().next())
    {
        line.push_str(&format!(" -H 'Content-Type: {media_type}'"));
        if media_type.contains("json") {
            let sample = content.get("example").cloned().unwrap_or_else(|| {
                value(content.get("schema").unwrap_or(&Value::Null), schemas, 0)
            });
            // A single quote ends the shell's text: it is written as one outside of it.
            line.push_str(&format!(
                " -d '{}'",
                sample.to_string().replace('\'', "'\\''")
            ));
        } else {
            line.push_str(" --data-binary @FILE");
        }
    }
    line
}

/// The path with an example for each parameter.
fn filled(path: &str, operation: &Operation, schemas: &Value) -> String {
    let parameters = serde_json::to_value(&operation.parameters).unwrap_or_default();
    let mut text = path.to_owned();
    for parameter in parameters.as_array().into_iter().flatten() {
        if parameter["in"] == "path" {
            let name = parameter["name"].as_str().unwrap_or_default();
            let example = match value(&parameter["schema"], schemas, 0) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            text = text.replace(&format!("{{{name}}}"), &example);
        }
    }
    text
}

/// A value that fits a schema: its example, its first choice, or the plainest of its type; of
/// an object only what it must have, or all it may have when it must have nothing.
fn value(schema: &Value, schemas: &Value, depth: usize) -> Value {
    if depth > DEPTH {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return value(&schemas[name], schemas, depth + 1);
    }
    for key in ["example", "const", "default"] {
        if let Some(example) = schema.get(key) {
            return example.clone();
        }
    }
    if let Some(first) = ["examples", "enum"]
        .iter()
        .find_map(|key| schema.get(key)?.as_array()?.first())
    {
        return first.clone();
    }
    if let Some(choice) = ["oneOf", "anyOf"]
        .iter()
        .find_map(|key| choice(schema.get(key)?.as_array()?))
    {
        return value(choice, schemas, depth + 1);
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(fields) = value(part, schemas, depth + 1) {
                whole.extend(fields);
            }
        }
        return Value::Object(whole);
    }
    match kind(schema) {
        "string" => string(schema),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(0)),
        "boolean" => json!(true),
        "array" => match schema.get("items") {
            Some(items) => json!([value(items, schemas, depth + 1)]),
            None => json!([]),
        },
        "object" => object(schema, schemas, depth),
        _ => Value::Null,
    }
}

fn object(schema: &Value, schemas: &Value, depth: usize) -> Value {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return json!({});
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fields = properties
        .iter()
        .filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()))
        // One field shows the form where none is needed.
        .take(if required.is_empty() { 1 } else { usize::MAX })
        .map(|(name, field)| (name.clone(), value(field, schemas, depth + 1)));
    Value::Object(fields.collect())
}

/// The first choice that is not null.
fn choice(choices: &[Value]) -> Option<&Value> {
    choices.iter().find(|choice| kind(choice) != "null")
}

/// The first type that is not null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    }
}

fn string(schema: &Value) -> Value {
    match schema["format"].as_str() {
        Some("date-time") => json!("2026-03-01T09:00:00.000000Z"),
        Some("date") => json!("2026-03-01"),
        Some("email") => json!("anna@example.com"),
        Some("password") => json!("a long password"),
        Some("uri") => json!("https://example.com/"),
        _ => {
            let shortest = schema["minLength"].as_u64().unwrap_or(0);
            let length = usize::try_from(shortest).unwrap_or(0).clamp(4, 64);
            json!("text".repeat(length.div_ceil(4)))
        }
    }
}
