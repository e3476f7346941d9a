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
    grade, must, baseline = report["grade"] or "none", report["must"], report.get("baseline")
    rows = []
    for case in report["cases"]:
        if case["verdict"] == "pass":
            continue
        run = case.get("run") or {}
        cause = (run.get("cause") or {}).get("text") or run.get("actual") or case["about"]
        advice = run.get("advice") or {}
        to_do = [advice["fix"]] if advice.get("fix") else []
        to_do += [f"As in {advice['example']}"] if advice.get("example") else []
        # With a baseline only what got worse fails the run.
        fails = case["severity"] == "must" and (not baseline or case.get("change") == "worse")
        kind = "error" if fails else "warning"
        told = "\n".join([cause, *to_do])
        print(f"::{kind} title={escaped(case['id'], True)}::{escaped(told)}")
        # Nothing that a client has written may be markup, or a cell of its own.
        cell = cause.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("`", "'")
        rows.append(f"| `{case['id']}` | {case['severity']} | {case['verdict']} | {cell} |\n")
    append("GITHUB_OUTPUT", f"grade={grade}\n")
    first = [f"1. `{mend['id']}`: {mend['fix']}\n" for mend in report["mendFirst"]]
    first = ["\nMend first:\n\n", *first] if first else []
    changes = [
        f"\n{change}: {', '.join(f'`{case}`' for case in baseline[change])}\n"
        for change in ("better", "worse")
        if baseline and baseline[change]
    ]
    table = ["\n| case | | | likely cause |\n|---|---|---|---|\n", *rows] if rows else []
    summary = f"## Grade {grade}\n\n{must['passed']} of {must['of']} musts passed.\n"
    append("GITHUB_STEP_SUMMARY", summary + "".join(changes + first + table))


if __name__ == "__main__":
    main(sys.argv[1])
