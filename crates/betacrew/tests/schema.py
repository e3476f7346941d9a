"""What an independent reader of JSON Schema and TOML says of scenario files.

schema.py check          whether it can run
schema.py SCHEMA FOLDER  FOLDER/good/*.toml must be valid, FOLDER/bad/*.toml must not be
"""

import json
import pathlib
import sys
import tomllib

import jsonschema


def errors(validator, path):
    try:
        content = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        return [str(error)]
    return [error.message for error in validator.iter_errors(content)]


def main():
    if sys.argv[1:] == ["check"]:
        return 0
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    folder = pathlib.Path(sys.argv[2])
    wrong = [(path, found) for path in sorted(folder.glob("good/*.toml"))
             if (found := errors(validator, path))]
    wrong += [(path, "valid") for path in sorted(folder.glob("bad/*.toml"))
              if not errors(validator, path)]
    for path, found in wrong:
        print(f"{path.name}: {found}")
    counts = [len(list(folder.glob(f"{kind}/*.toml"))) for kind in ("good", "bad")]
    print(f"{counts[0]} good, {counts[1]} bad")
    return 1 if wrong else 0


sys.exit(main())
