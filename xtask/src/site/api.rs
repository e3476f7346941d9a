//! Reference of the HTTP API, from the OpenAPI documents of an exchange and a client.

use super::program::Program;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Returns the page.
pub(super) fn page(program: &Program) -> Result<String, String> {
    let exchange = program.serving(&["serve", "--listen", "127.0.0.1:0", "--live"])?;
    let feed = exchange.feed.clone();
    let output = std::env::temp_dir().join(format!("betacrew-site-{}.json", std::process::id()));
    let output = output.to_string_lossy().into_owned();
    let client = program.serving(&["fetch", &feed, "--follow", "-o", &output])?;
    let document = |text: String| -> Result<Value, String> {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let documents =
        [document(exchange.get("/openapi.json")?)?, document(client.get("/openapi.json")?)?];
    drop(client);
    for file in [&output, &format!("{output}.tape")] {
        let _ = std::fs::remove_file(file);
    }
    Ok(markdown(&documents))
}

/// Returns the documents as Markdown.
fn markdown([exchange, client]: &[Value; 2]) -> String {
    let mut text = "# HTTP API, in detail\n\n\
        What `GET /openapi.json` of an exchange and of a client says. [http.md](http.md) explains \
        it.\n\n## Paths\n"
        .to_owned();
    let mut paths = members(&exchange["paths"]).clone();
    for (path, item) in members(&client["paths"]) {
        paths.entry(path).or_insert(item.clone());
    }
    for (path, item) in &paths {
        let roles = [("exchange", exchange), ("client", client)];
        let roles = roles.iter().filter(|(_, document)| document["paths"].get(path).is_some());
        let roles: Vec<&str> = roles.map(|(role, _)| *role).collect();
        for (method, operation) in members(item) {
            let _ = writeln!(text, "\n### {} {path}\n", method.to_uppercase());
            let summary = operation["summary"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{summary}. On: {}.\n", roles.join(", "));
            operation_text(&mut text, &operation);
        }
    }
    text += "\n## Types\n";
    let mut types = members(&exchange["components"]["schemas"]).clone();
    for (name, schema) in members(&client["components"]["schemas"]) {
        types.entry(name).or_insert(schema.clone());
    }
    for (name, schema) in &types {
        let about = schema["description"].as_str().unwrap_or_default();
        let _ = writeln!(text, "\n### {name}\n\n{}\n", cell(about));
        let fields = members(&schema["properties"]);
        if fields.is_empty() {
            let _ = writeln!(text, "{}\n", kind(schema));
            continue;
        }
        text += "| name | type | |\n|---|---|---|\n";
        for (field, schema) in fields {
            let about = schema["description"].as_str().unwrap_or_default();
            let _ = writeln!(text, "| `{field}` | {} | {} |", kind(&schema), cell(about));
        }
    }
    text
}

/// Writes parameters, body and answer of an operation.
fn operation_text(text: &mut String, operation: &Value) {
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let word = |key: &str| parameter[key].as_str().unwrap_or_default();
        let _ = writeln!(text, "* `{}`: {}", word("name"), cell(word("description")));
    }
    let content = |value: &Value| {
        let (media, value) = members(&value["content"]).into_iter().next()?;
        Some(format!("{} (`{media}`)", kind(&value["schema"])))
    };
    if let Some(body) = content(&operation["requestBody"]) {
        let _ = writeln!(text, "* Body: {body}");
    }
    if let Some(answer) = content(&operation["responses"]["200"]) {
        let _ = writeln!(text, "* Answer: {answer}");
    }
}

/// Returns the members of an object; none if it is none.
fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Returns a text as it stands in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// Returns the type of a schema, with links to types that have a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let name = |kind: &Value| match kind.as_str() {
        Some("array") => format!("list of {}", kind_of_items(schema)),
        Some("object") if !members(&schema["properties"]).is_empty() => {
            let fields = members(&schema["properties"]);
            let fields =
                fields.iter().map(|(name, schema)| format!("`{name}`: {}", self::kind(schema)));
            format!("object with {}", fields.collect::<Vec<_>>().join(", "))
        }
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    };
    match schema["type"].as_array() {
        Some(kinds) => kinds.iter().map(name).collect::<Vec<_>>().join(" or "),
        None => name(&schema["type"]),
    }
}

/// Returns the type of a list's items.
fn kind_of_items(schema: &Value) -> String {
    match schema["prefixItems"].as_array() {
        Some(items) => items.iter().map(kind).collect::<Vec<_>>().join(", "),
        None => kind(&schema["items"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_both_roles_and_types_are_described() {
        let answer = json!({"content": {"application/json": {"schema": {"$ref": "#/c/State"}}}});
        let get = json!({"get": {"summary": "State", "responses": {"200": answer}}});
        let fields = json!({"a": {"type": ["array", "null"], "items": {"type": "integer"},
                                  "description": "Some | numbers"}});
        let types = json!({"schemas": {"State": {"properties": fields, "description": "All"}}});
        let exchange = json!({"paths": {"/s": get}, "components": types});
        let text = markdown(&[exchange, json!({"paths": {"/t": get}})]);
        for part in [
            "### GET /s\n\nState. On: exchange.\n\n* Answer: [State](#state) \
             (`application/json`)\n",
            "### GET /t\n\nState. On: client.\n",
            "### State\n\nAll\n\n| name | type | |\n|---|---|---|\n\
             | `a` | list of integer or null | Some \\| numbers |\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
