"""Shows a report of `betacrew grade --json` in a GitHub workflow.

Failed cases become annotations on stdout; the grade becomes an output, and a table the summary.
"""

import json
import os
import sys


def escaped(text, of_property=False):
    """Returns a text as workflow commands take it, which end at a line end."""
    pairs = [("%", "%25"), ("\r", "%0D"), ("\n", "%0A")]
    if of_property:
        pairs += [(":", "%3A"), (",", "%2C")]
    for char, code in pairs:
        text = text.replace(char, code)
    return text


def append(variable, text):
    """Appends to the file that a variable of the workflow names."""
    path = os.environ.get(variable)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def main(path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    grade, must = report["grade"] or "none", report["must"]
    rows = []
    for case in report["cases"]:
        if case["verdict"] == "pass":
            continue
        run = case.get("run") or {}
        cause = (run.get("cause") or {}).get("text") or run.get("actual") or case["about"]
        kind = "error" if case["severity"] == "must" else "warning"
        print(f"::{kind} title={escaped(case['id'], True)}::{escaped(cause)}")
        # Nothing that a client has written may be markup, or a cell of its own.
        cell = cause.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("`", "'")
        rows.append(f"| `{case['id']}` | {case['severity']} | {case['verdict']} | {cell} |\n")
    append("GITHUB_OUTPUT", f"grade={grade}\n")
    table = ["\n| case | | | likely cause |\n|---|---|---|---|\n", *rows] if rows else []
    summary = f"## Grade {grade}\n\n{must['passed']} of {must['of']} musts passed.\n"
    append("GITHUB_STEP_SUMMARY", summary + "".join(table))


if __name__ == "__main__":
    main(sys.argv[1])
