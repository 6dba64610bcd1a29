"""
Shows whether a program of any language keeps the rules of ``docs/messages.md``.

The program is started as a worker of a service that is not there: a broker of its own,
with the account that such a worker has, and in the API's place something that says what
each rule needs said. Its last rule is a job of a whole stack. It judges what is seen
from outside, and nothing of how the program is made.
"""

from __future__ import annotations
