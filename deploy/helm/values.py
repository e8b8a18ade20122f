"""Writes the table of a chart's values into its README: values.py VALUES README."""

import re
import sys
from pathlib import Path

BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
KEY = re.compile(r"^( *)([A-Za-z]+):(?: (.+))?$")


def rows(text):
    """Key, default and description of each value. A key with other keys below it is a row if it has a description."""
    path, comment = [], []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().lstrip("#").strip())
        elif match := KEY.match(line):
            indent, key, default = match.groups()
            path = path[: len(indent) // 2] + [key]
            if comment or default:
                yield ".".join(path), default, " ".join(comment)
            comment = []
        else:
            comment = []


def main(values, readme):
    readme = Path(readme)
    table = ["| value | default | |", "|---|---|---|"]
    for key, default, description in rows(Path(values).read_text()):
        cells = (f"`{key}`", f"`{default}`" if default else "", description)
        table.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells).rstrip() + " |")
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n" + "\n".join(table) + f"\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
