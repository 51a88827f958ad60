"""What words without quotes mean in YAML files, and which mean something else to other versions of YAML.

Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import re

NULL = re.compile(r"|~|null|Null|NULL")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# What YAML 1.1, which many tools still read, makes something else of than the core schema of YAML 1.2.
AMBIGUOUS = (
    (re.compile(r"(?:yes|no|on|off)", re.IGNORECASE), "a truth value", "write true or false"),
    (re.compile(r"[-+]?0[0-9]+"), "an octal number", "write it without leading zeros"),
    (re.compile(r"[-+]?0[box][0-9a-fA-F_]*"), "a number", "write the number in decimal"),
    (
        # An underscore anywhere before the exponent, found once: the pattern takes time linear in the word.
        re.compile(r"[-+]?(?=[0-9.]*_)(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"),
        "a number",
        "write it without underscores",
    ),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?"),
        "a number to the base of 60",
        "write it out",
    ),
    (
        re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?"),
        "a date",
        "expected no date",
    ),
    (re.compile(r"<<|="), "a merge key", "expected no merge key"),
)
OCTAL = AMBIGUOUS[1][0]
