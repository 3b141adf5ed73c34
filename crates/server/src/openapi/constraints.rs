//! What holds for every text that is sent to us, written once: the checks of the use cases refuse
//! control characters, and NUL everywhere, so the document says so.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ArrayItems, Components, Object, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

/// The longest text that is one line; longer ones are prose of several lines.
const LINE_MAX: usize = 500;
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
const LINE_OR_NOTHING: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
const PROSE: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";
const PROSE_OR_NOTHING: &str = r"^[^\u0000]*$";
const EMAIL: &str = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$";
/// As long as a cursor can be, in characters.
const CURSOR_MAX: usize = 128;
const CURSOR: &str = "^([0-9a-f]{2})+$";

/// Lists of words: the longest word of each.
const WORDS: [(&str, usize); 2] = [("tools", 100), ("categories", 60)];

/// Adds them to the parameters and to every schema that a request body is made of.
pub(super) fn constrain(document: &mut OpenApi) {
    let mut wanted = BTreeSet::new();
    for item in document.paths.paths.values_mut() {
        for (_, operation) in super::finish::operations(item) {
            parameters(operation);
            let body = serde_json::to_value(&operation.request_body).unwrap_or_default();
            references(&body, &mut wanted);
        }
    }
    let Some(components) = &mut document.components else {
        return;
    };
    for name in reachable(components, wanted) {
        if let Some(schema) = components.schemas.get_mut(&name) {
            text("", schema);
        }
    }
}

fn parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        if parameter.parameter_in == ParameterIn::Path {
            continue;
        }
        let name = parameter.name.clone();
        let Some(schema) = &mut parameter.schema else {
            continue;
        };
        text(&name, schema);
        // A header that is absent is no header; there is no null on this wire.
        if let RefOr::T(Schema::Object(object)) = schema
            && let SchemaType::Array(kinds) = &mut object.schema_type
        {
            kinds.retain(|kind| *kind != Type::Null);
        }
    }
}

/// The names of the schemas that `value` refers to.
fn references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                names.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            fields.values().for_each(|field| references(field, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

/// These schemas and all that they are made of.
fn reachable(components: &Components, mut open: BTreeSet<String>) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    while let Some(name) = open.pop_first() {
        if let Some(schema) = components.schemas.get(&name) {
            let mut inner = BTreeSet::new();
            references(
                &serde_json::to_value(schema).unwrap_or_default(),
                &mut inner,
            );
            known.insert(name);
            open.extend(inner.into_iter().filter(|name| !known.contains(name)));
        }
    }
    known
}

/// Constrains the texts of a schema; `field` is the name it is known by.
fn text(field: &str, schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Object(object) => {
            for (name, property) in &mut object.properties {
                text(name, property);
            }
            string(field, object);
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                if let RefOr::T(Schema::Object(object)) = items.as_mut()
                    && let Some((_, longest)) = WORDS.iter().find(|(name, _)| *name == field)
                {
                    object.min_length = Some(1);
                    object.max_length = Some(*longest);
                }
                text("", items);
            }
        }
        Schema::OneOf(choice) => choice.items.iter_mut().for_each(|item| text(field, item)),
        Schema::AnyOf(choice) => choice.items.iter_mut().for_each(|item| text(field, item)),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(|item| text(field, item)),
        _ => {}
    }
}

fn string(field: &str, object: &mut Object) {
    let is_string = match &object.schema_type {
        SchemaType::Type(kind) => *kind == Type::String,
        SchemaType::Array(kinds) => kinds.contains(&Type::String),
        SchemaType::AnyValue => false,
    };
    if !is_string
        || object.pattern.is_some()
        || object.enum_values.is_some()
        || object.format.is_some()
    {
        return;
    }
    let filled = object.min_length.is_some_and(|length| length > 0);
    let line = object.max_length.is_some_and(|length| length <= LINE_MAX);
    let pattern = match (field, line, filled) {
        ("email", ..) => EMAIL,
        ("cursor", ..) => CURSOR,
        (_, true, true) => LINE,
        (_, true, false) => LINE_OR_NOTHING,
        (_, false, true) => PROSE,
        (_, false, false) => PROSE_OR_NOTHING,
    };
    if field == "cursor" {
        object.max_length = Some(CURSOR_MAX);
    }
    object.pattern = Some(pattern.to_owned());
}
