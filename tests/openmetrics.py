#!/usr/bin/env python3
"""Checks an OpenMetrics exposition with the strict parser of prometheus_client.

    openmetrics.py [--created] BEFORE.txt AFTER.txt < EXPOSITION

BEFORE.txt and AFTER.txt are expositions of the same program in Prometheus' text format, scraped before and after the
one on standard input. All three must have the same families and samples; each value must be equal to theirs or between
them. With --created, every counter and histogram must have a _created sample for each of its label sets; without it,
no _created sample may exist.

Prints a summary. Exits with 1 and prints every problem if there are any.
"""

import argparse
import math
import pathlib
import re
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text


def samples(families):
    """The value of every sample by name and labels; bucket bounds as numbers."""
    values = {}
    for family in families:
        for sample in family.samples:
            labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
            key = (sample.name, tuple(sorted(labels.items())))
            if key in values:
                raise ValueError(f"{key} is duplicated")
            values[key] = sample.value
    return values


def without_suffix(name):
    return name.removesuffix("_total")


def descriptions(families):
    """Type and help of every family. The text format has _total in family names, OpenMetrics does not."""
    return {without_suffix(family.name): (family.type, family.documentation) for family in families}


def created_problems(families, wanted):
    """Every label set of a counter or histogram has one _created sample if wanted, otherwise none."""
    for family in families:
        counts, created = set(), set()
        for sample in family.samples:
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            (created if sample.name == family.name + "_created" else counts).add(labels)
        expected = counts if wanted and family.type in ("counter", "histogram") else set()
        if created != expected:
            yield f"{family.name}: _created for {sorted(created)}, expected for {sorted(expected)}"


def bound_problems(text):
    """Bucket bounds must have a decimal point, so that all producers write equal bounds alike."""
    for bound in sorted(set(re.findall(r'[{,]le="([^"]*)"', text))):
        if bound != "+Inf" and "." not in bound and "e" not in bound:
            yield f'le="{bound}" has no decimal point'


def volatile(name):
    """Process gauges can rise and fall between two scrapes."""
    return name.startswith("process_")


def value_problems(found, before, after):
    for key in sorted(before.keys() ^ found.keys(), key=str):
        yield f"{key} is only in {'the text' if key in before else 'OpenMetrics'}"
    for key in before.keys() & found.keys() & after.keys():
        low, high = sorted((before[key], after[key]))
        if not volatile(key[0]) and not low <= found[key] <= high:
            yield f"{key} is {found[key]}, in the text {low} and then {high}"
        if math.isnan(found[key]):
            yield f"{key} is not a number"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--created", action="store_true")
    arguments.add_argument("before", type=pathlib.Path)
    arguments.add_argument("after", type=pathlib.Path)
    arguments = arguments.parse_args()

    text = sys.stdin.read()
    families = list(parse_openmetrics(text))
    before, after = (list(parse_text(path.read_text("utf-8"))) for path in (arguments.before, arguments.after))
    found = samples(families)
    counted = {key: value for key, value in found.items() if not key[0].endswith("_created")}
    problems = [*bound_problems(text), *created_problems(families, arguments.created)]
    problems += value_problems(counted, samples(before), samples(after))
    theirs, ours = descriptions(before), descriptions(families)
    problems += [
        f"{name} is {ours.get(name)}, in the text {theirs.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(families)} families, {len(found)} samples, {len(problems)} problems")
    return 1 if problems or not found else 0


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")
    sys.exit(main())
