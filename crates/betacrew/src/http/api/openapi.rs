//! OpenAPI document, made from the table of routes and the JSON types.

use crate::http::api::routes::{JSON, Param, Role, Route, routes};
use crate::http::state::Refusal;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Protection of the commands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    BearerToken,
}

/// Returns the document of a role.
pub(crate) fn document(role: Role, protection: Protection) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes(role) {
        paths.insert(route.path.to_owned(), operation(route, protection, &mut generator));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "betacrew",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "State and control of a mock exchange, and state of its client.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    });
    if protection == Protection::BearerToken {
        document["components"]["securitySchemes"] =
            json!({ "token": { "type": "http", "scheme": "bearer" } });
    }
    document
}

fn operation(route: &Route, protection: Protection, generator: &mut SchemaGenerator) -> Value {
    let refusal = json!({
        "description": "The request is not valid, or cannot be carried out now",
        "content": { JSON: { "schema": generator.subschema_for::<Refusal>() } },
    });
    let schema = match route.answer {
        Some(describe) => describe(generator),
        None if route.kind == JSON => {
            Schema::from(Map::from_iter([("type".into(), "object".into())]))
        }
        None => Schema::from(Map::from_iter([("type".into(), "string".into())])),
    };
    let media = route.kind.split(';').next().unwrap_or(route.kind);
    let name = route.path.trim_start_matches('/').replace(['/', '.'], "_");
    let name = if name.is_empty() { "page".to_owned() } else { name };
    let mut operation = json!({
        "operationId": name,
        "summary": route.about,
        "responses": {
            "200": {
                "description": route.about,
                "content": { media: { "schema": schema } },
            },
            "default": refusal,
        },
    });
    if !route.params.is_empty() {
        operation["parameters"] = route.params.iter().map(parameter).collect();
    }
    let Some(body) = route.body else { return json!({ "get": operation }) };
    operation["requestBody"] =
        json!({ "required": true, "content": { JSON: { "schema": body(generator) } } });
    if protection == Protection::BearerToken {
        operation["security"] = json!([{ "token": [] }]);
    }
    json!({ "post": operation })
}

fn parameter(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": "query",
        "description": param.about,
        "schema": { "type": "integer", "minimum": param.min, "maximum": param.max },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Returns the names in the table of JSON names of `docs/http.md`, without their paths.
    fn documented_names() -> BTreeSet<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("## Names in JSON").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let columns = rows.filter_map(|row| row.split('|').nth(1));
        let names = columns.flat_map(|column| column.split('`').skip(1).step_by(2));
        names.filter_map(|name| Some(name.rsplit('.').next()?.to_owned())).collect()
    }

    #[test]
    fn the_documented_json_names_are_those_of_the_schemas() {
        let documents = [Role::Exchange, Role::Client].map(|role| document(role, Protection::None));
        let names = documented_names();
        assert!(names.len() > 30, "{names:?}");
        let text = documents.iter().map(Value::to_string).collect::<String>();
        for name in &names {
            assert!(text.contains(&format!("\"{name}\":")), "{name} is in no schema");
        }
        for schema in ["Counters", "GapView", "LineSnapshot"] {
            let properties = &documents[1]["components"]["schemas"][schema]["properties"];
            for name in properties.as_object().unwrap().keys() {
                let is_obvious = ["id", "first", "last", "address", "state", "since"];
                let is_listed = names.contains(name) || is_obvious.contains(&name.as_str());
                assert!(is_listed, "docs/http.md does not list {name} of {schema}");
            }
        }
    }
}
