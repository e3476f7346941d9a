"""Documents that the program wrote, as an independent reader of JSON Schema sees them.

schemas.py check             whether it can run
schemas.py SCHEMAS DOCUMENTS  DOCUMENTS/NAME.*.json must be valid by SCHEMAS/NAME.schema.json, and
                              have no key that the schema does not describe; prints NAME.KEY for
                              each described key that no document has
"""

import json
import pathlib
import sys

import jsonschema


def objects(schema):
    """Returns each described object of a schema: its name and the description."""
    named = {"": schema} | schema.get("$defs", {})
    return {name: kind for name, kind in named.items() if "properties" in kind}


def close(schema):
    """Makes keys that are not described invalid."""
    for kind in objects(schema).values():
        kind["additionalProperties"] = False


def keys(document):
    """Returns all keys of a document."""
    if isinstance(document, dict):
        return set(document).union(*map(keys, document.values()))
    return set().union(*map(keys, document)) if isinstance(document, list) else set()


def main():
    if sys.argv[1:] == ["check"]:
        return 0
    schemas, documents = map(pathlib.Path, sys.argv[1:])
    wrong = 0
    for place in sorted(schemas.glob("*.schema.json")):
        schema = json.loads(place.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        name = place.name.removesuffix(".schema.json")
        if name == "scenario":  # Scenarios are TOML: schema.py has them.
            continue
        for where, kind in objects(schema).items():
            for key, value in kind["properties"].items():
                if "description" not in value:
                    print(f"{name}: {where}.{key} has no description")
                    wrong += 1
        close(schema)
        validator = jsonschema.Draft202012Validator(schema)
        written = [json.loads(path.read_text()) for path in documents.glob(f"{name}.*.json")]
        for document in written:
            for error in validator.iter_errors(document):
                print(f"{name}: {error.json_path}: {error.message}")
                wrong += 1
        described = {key for kind in objects(schema).values() for key in kind["properties"]}
        for key in sorted(described - keys(written)):
            print(f"{name}.{key}")
    return 1 if wrong else 0


sys.exit(main())
