"""
What shows that a text is in a language: how lines begin, and what stands in them.

A table, and how a row of it counts. It has the languages that a sample starts in, and
what looks like one of them and is none; other languages Magika tells. It decides
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

#: A sure sign counts so much, a hint one; from here on it is believed.
ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Language:
    """
    What shows a language.

    ``sure`` and ``hint`` are what lines begin with, ``sure_marks`` and ``hint_marks``
    what stands anywhere, in small letters. A hint counts once, and half.
    """

    #: Nothing for what only looks like a language of scripts.
    mime_type: str | None
    lines: re.Pattern[str]
    sures: int
    sure_marks: tuple[str, ...]
    hint_marks: tuple[str, ...]
    anywhere: tuple[re.Pattern[str], ...]
    any_case: bool

    def lines_that_show_it(self, lines: Iterable[str]) -> tuple[set[int], int]:
        """Return which patterns fit, and how many lines do."""
        patterns: set[int] = set()
        count = 0
        for line in lines:
            found = self.lines.match(line)
            if found is not None:
                patterns.add(found.lastindex or 0)
                count += 1
        return patterns, count

    def score(self, patterns: set[int], text: str) -> int:
        """Return how sure it is: two are enough."""
        sure = sum(1 for index in patterns if index <= self.sures)
        sure += sum(1 for mark in self.sure_marks if mark in text)
        sure += sum(1 for pattern in self.anywhere if pattern.search(text))
        hints = sum(1 for index in patterns if index > self.sures)
        hints += sum(1 for mark in self.hint_marks if mark in text)
        return ENOUGH * sure + hints


def _language(
    mime_type: str | None,
    *,
    sure: tuple[str, ...] = (),
    hint: tuple[str, ...] = (),
    marks: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    anywhere: tuple[str, ...] = (),
    any_case: bool = False,
) -> Language:
    return Language(
        mime_type=mime_type,
        lines=re.compile("|".join(f"({pattern})" for pattern in (*sure, *hint))),
        sures=len(sure),
        sure_marks=marks[0],
        hint_marks=marks[1],
        anywhere=tuple(re.compile(pattern) for pattern in anywhere),
        any_case=any_case,
    )


_other = partial(_language, None)

#: Verbs and nouns of the commands that scripts are made of; others follow the form.
_CMDLET = (
    r"(?:get|set|new|invoke|write|start|stop|import|export|add|remove|out|select|where"
    r"|foreach|convertto|convertfrom|test|copy|move|join|split|register|enable|disable"
    r"|clear|unblock|expand|compress|wait|read|measure|sort)-[a-z]{3,40}"
)
_OBJECT = (
    r"createobject(?<!\.createobject)\s*\(\s*\"(?:wscript|scripting|msxml2?|microsoft|adodb|shell|excel"
    r"|word|outlook|winhttp|internetexplorer|schedule|wbemscripting)\b"
)

#: Of two that are as sure the first wins. Lines of ``any_case`` are in small letters.
LANGUAGES: tuple[Language, ...] = (
    # Manuals quote scripts; what is underlined or has directives is one.
    _other(
        sure=(r"\.\. (?:[\w-]+::|\|[\w-]+\| )", r"[=~^]{4,}\s*$"),
        hint=(r"-{4,}\s*$", r"[*-] \w"),
        marks=((), ("](http", "``")),
    ),
    # Sources that are compiled.
    _other(
        sure=(
            r"#\s?include\s*[<\"]",
            r"(?:int|void) main\s*\(",
            r"typedef struct\b",
            r"import (?:static )?[a-z]\w*(?:\.\w+)+(?:\.\*)?;",
            r"package [a-z]\w*(?:\.\w+)*;?\s*$",
            r"(?:public|private|protected|abstract|final) (?:\w+ )*(?:class|interface|enum)\s",
            r"using (?:static )?[A-Z]\w*(?:\.\w+)*;",
            r"namespace [A-Z][\w.]*[;{\s]*$",
            r"func (?:\(\w+ \*?\w+\) )?\w+\(.*\{$",
            r"(?:pub )?(?:fn \w+.*\{$|use [a-z]\w*::)",
            r"#!?\[\w+.*\]$",
            r"impl(?:<.*>)? \w+",
        ),
        hint=(
            r"#\s?(?:define|ifndef|ifdef|pragma)\b",
            r"(?:static|extern|struct|unsigned|template|namespace|using namespace)\s",
        ),
    ),
    # What builds and orders is made of.
    _other(
        sure=(
            r"(?:apiVersion|kind|jobs|steps|services|tasks|on):(?:\s|$)",
            r"\s*- (?:name|uses|run|hosts|image|id):\s",
            r"\((?:def(?:un|var|custom|macro|const|group|ine)|require|provide)\s",
            r"\.PHONY\s*:",
            r"(?:ifeq|ifneq) \(.*,.*\)$",
            r"FROM [\w./:${}-]+(?: AS [\w-]+)?\s*$",
        ),
        hint=(r"[\w.]+\s*[:?+]=", r"-?include [$\w]"),
        anywhere=(r"\n(?:all|build|check|clean|default|install|test)\s?:[^=\n]*\n\t",),
    ),
    _language(
        "text/x-python",
        sure=(
            r"(?:async )?def \w+\(.*\)\s*(?:->.*)?:\s*(?:#.*|\"\"\".*)?$",
            r"class [A-Za-z_]\w*(?:\(.*\))?:\s*(?:#.*)?$",
            r"if __name__ == ",
            r"from (?:\.+\w*|\w+)(?:\.\w+)* import (?:\(|\*|\w+(?:,|\s*$|\s+as\b|\s*#))",
            r"import \w[\w.]*(?:,\s*\w[\w.]*)*\s*;\s*\w",
            r"(?:exec|eval)\s*\(\s*(?:__import__|base64|zlib|compile|marshal|bytes)\b",
            r"__import__\s*\(",
        ),
        hint=(
            r"import [A-Za-z_][\w.]*(?:\s+as \w+)?(?:,\s*\w[\w.]*(?:\s+as \w+)?)*\s*(?:#.*)?$",
            r"(?:for \w[\w, ]* in .+|while .+|if .+|elif .+|else|try|with .+ as \w+|except.*|finally):\s*(?:#.*)?$",
            r"print\s*\(",
            r"\w+(?:\.\w+)+\(.*\)\s*$",
            r"exec\s*\(",
            r"[a-z_]\w* = [\w.]+\(.*\)\s*$",
            r"\s+(?:import \w|from \w[\w.]* import |pass$)",
            r"    (?:return|self\.\w+ =|raise \w+)",
        ),
    ),
    _language(
        "text/x-powershell",
        sure=(
            r"function\s+(?:global:|script:)?[a-z]+-\w+",
            r"\$[\w:]+\s*\+?=\s*(?:new-object|get-|\[\w|@[({\"'])",
            r"(?:iex|invoke-expression)\s*[($&\"']",
            rf"{_CMDLET}(?:\s*[|;]|\s+(?:-[a-z]|[$\"'(@{{\\/]|[a-z]:[\\/]|[\w-]+\.[a-z]\w{{1,3}}\b))",
            r"param\s*\(",
            r"#requires\s+-",
            r"\[cmdletbinding\b",
        ),
        hint=(
            r"\$[\w:]+\s*\+?=",
            r"(?:foreach|if|while)\s*\(\s*\$\w+",
            r"(?:try|finally)\s*\{",
            rf"{_CMDLET}$",
        ),
        marks=(
            ("(new-object ", "| iex", "|iex", ".downloadstring(", "]::frombase64string("),
            ("$env:", "$_.", " -eq ", " -ne ", " -match ", " -join ", " -replace ", "-bxor"),
        ),
        anywhere=(
            r"\]::[a-z]\w+",
            rf"[|;({{=]\s*{_CMDLET}(?:\s*[;)}}]|\s+(?:-[a-z]|[|$\"'(@{{\d]))",
        ),
        any_case=True,
    ),
    _language(
        "text/vbscript",
        sure=(
            rf"set\s+\w+\s*=\s*(?:{_OBJECT}|createobject|getobject\s*\()",
            r"on error resume next\b",
            r"option explicit\b",
            r"attribute vb_\w+\s*=",
            r"wscript\.(?:echo|sleep)\s+[\"\w].*(?<!;)$",
            r"msgbox[ (]+[\"\w]",
            r"(?:public|private)\s+(?:sub|function)\s+\w+\s*\(.*\)(?:\s+as\s+\w+)?$",
        ),
        hint=(
            r"(?:sub|function)\s+\w+\s*(?:\(.*\))?(?:\s+as\s+\w+)?$",
            r"end\s+(?:sub|function|if|with|select|class|property)\s*$",
            r"(?:dim|redim|const)\s+\w+(?:\(\d*\))?(?:\s+as\s+\w+|\s*=.*)?(?:\s*[,:].*)?$",
            r"(?:else)?if\s.+\sthen\b",
            r"(?:next|wend|loop)(?:\s+\w+)?\s*$",
            r"for\s+(?:each\s+\w+\s+in\s|\w+\s*=.+\sto\s)",
            r"wscript\.(?:echo|sleep|quit|createobject|arguments)\b[^;]*$",
            r"(?:execute|executeglobal)[ (]+\w",
            r"set\s+\w+\s*=\s*\w",
            r"\w+\s*=.*\s&\s*\w",
            r"\w+\.(?:run|exec|open|send|write|savetofile)\b[ (]*[\"\w]*[^;]*$",
        ),
        marks=((), (": execute", ":execute")),
        anywhere=(_OBJECT,),
        any_case=True,
    ),
    _language(
        "text/javascript",
        sure=(
            r"(?:var|let|const)\s+[\w$]+\s*=.*;\s*(?://.*)?$",
            r"[\"']use strict[\"'];?",
            r"\s*(?:export\s+(?:default|const|function|class|\{|\*)|import\s.*\sfrom\s*[\"']|import\s*[\"'].*[\"'];?$)",
            r"[;!+(\s]*(?:async\s+)?function\s*\w*\s*\((?![^)]*\$)[^)]*\)\s*\{.*[;}]",
            r"[;!+(]+\s*(?:async\s*)?(?:function\b|\([\w, ]*\)\s*=>)",
            r"(?:const|let|var)\s+\{.*\}\s*=\s*require\(",
            r"@(?:if|set|cc_on)\b.*@",
            r"eval\s*\(\s*function\s*\(",
        ),
        hint=(
            r"(?:var|let|const)\s+[\w$]+(?:\s*=|\s*[,;]\s*[\w$]*)",
            r"(?:async\s+)?function\s*\w*\s*\((?![^)]*\$)[^)]*\)\s*\{",
            r"\s*(?:\}\s*else|for\s*\((?:var|let|const)\s|\}\s*catch\s*\(\w+\))",
            r"(?:eval|alert|setTimeout)\s*\(",
            r"[\w$.\[\]]+\s*=\s*function\s*\(",
            r"\}\)?(?:\(.*\))?;\s*$",
        ),
        marks=(
            (
                "new activexobject(", "document.write(", "document.createelement(",
                "document.getelementbyid(", "window.location", "console.log(",
                "module.exports", "wscript.echo(", "string.fromcharcode(",
            ),
            ("===", "!==", "=> {", "require('", 'require("', "unescape(", "wscript.", "typeof "),
        ),
        anywhere=(r"wscript\.createobject\([^)\n]*\);",),
    ),
    _language(
        "text/x-msdos-batch",
        sure=(
            r"@\s*(?:echo|setlocal|cls|rem|set|if|start|cmd|powershell)\b",
            r"echo off\b",
            r"if\s+(?:/i\s+)?(?:not\s+)?(?:exist\s+\"?[\w-]*[%\\.:]|errorlevel\s+\d|defined\s+\w+\s+\(|\"?%)",
            r"for\s+(?:/[fdlr]\s+)?.*%%\w",
            r"(?:powershell|cmd|mshta|rundll32|regsvr32|certutil|bitsadmin|schtasks|wscript|cscript)(?:\.exe)?\"?\s+[-/]\w",
            r"(?:mshta|rundll32|regsvr32)(?:\.exe)?\s+(?:javascript|vbscript|https?|[\w:\\]+\.dll)",
            r"(?:setlocal|endlocal)(?:\s+enable\w+)*\s*$",
            r"reg(?:\.exe)?\s+(?:add|delete)\s+\"?hk",
            r"exit /b\b",
        ),
        hint=(
            r"set\s+(?:/[ap]\s+)?\"?[\w.]+=",
            r"goto\s+:?\w+\s*$",
            r":\w+\s*$",
            r"rem\s",
            r"(?:pause|cls)\s*(?:>.*)?$",
            r"(?:start|call|del|copy|xcopy|move|md|mkdir|rd|attrib|taskkill|timeout|net|ping|type|cd|reg)\s+[/\"%\\\w]",
            r"echo(?:[ .][^\"'$-]|\.$)",
        ),
        marks=((), (">nul", "%temp%", "%appdata%", "%~", "%userprofile%", "errorlevel", "%systemroot%")),
        any_case=True,
    ),
    _language(
        "text/x-perl",
        sure=(
            r"use (?:strict|warnings|utf8|vars|lib|v?5)\b.*;",
            r"use [A-Z]\w*(?:::\w+)+.*;",
            r"\s*my\s*\(?\s*[$@%]\w+.*[;{(]\s*$",
            r"sub \w+\s*\{",
            r"package \w+(?:::\w+)+;",
        ),
        hint=(r"use [A-Z]\w*.*;\s*$", r"\s*print\s+(?:[A-Z]+\s+)?[\"$]", r"\s*[$@]\w+\s*=.*;\s*$"),
        marks=((), ("=~", "=~ /", "=~ s/", "<stdin>", "@argv", "$_", "->new(")),
    ),
    _language(
        "text/x-ruby",
        sure=(
            r"\s*attr_(?:accessor|reader|writer) :",
            r"class [A-Z]\w*\s*<\s*[A-Z][\w:]*\s*$",
            r"require_relative [\"']",
        ),
        hint=(
            r"require [\"'][\w/.-]+[\"']\s*$",
            r"\s*def (?:self\.)?\w+[?!]?(?:\s*\(.*\))?\s*$",
            r"end\s*$",
            r"puts [\"'\w]",
            r"module [A-Z]\w*\s*$",
            r"\w+ = [A-Z]\w*(?:::\w+)*\.(?:new|open)\b",
            r"(?:system|exec|eval)[ (]+(?:\w+\()?[\"'`%]",
        ),
        anywhere=(r" do \|\w[\w, ]*\|\s*\n",),
    ),
    _language(
        "text/x-shellscript",
        sure=(
            r"\s*(?:if|elif|while|until) !?\s*(?:\[\[? |test |(?:grep|command|which) ).*",
            r"\s*(?:for \w+ in |while |until ).*;\s*do\b",
            r"(?:function )?[\w-]+\s*\(\)\s*\{\s*(?:#.*)?$",
            r"set -[euxo]",
            r"(?:cd /\w[\w/]*|wget|curl|busybox|tftp)\s.*[;&|]\s*(?:wget|curl|chmod|sh|bash|cd|\./|tftp|rm)\b",
            r"(?:wget|curl)\s[^|]*\|\s*(?:sudo )?(?:ba|da)?sh\b",
            r"\s*case .+ in\s*$",
            r"(?:bash|sh) -[ic] ",
            r"(?:nohup )?(?:bash|nc|ncat) .*(?:/dev/tcp/|-e /bin/)",
        ),
        hint=(
            r"(?:export \w+=|\w+=(?:\$\(|`))",
            r"\s*(?:fi|done|esac|then|do)\s*(?:[;#].*)?$",
            r"(?:export|unset|source|alias|readonly|trap|exit|shift|eval|local) [\w\"'$]",
            r"\s*(?:wget|curl) .*(?:https?:|-[A-Za-z])",
            r"\s*chmod (?:[+\dugoa]|-R)",
            r"\s*(?:sudo|apt-get|yum|rm|mkdir|cp|mv|nohup|crontab|iptables|systemctl|cat|tar|kill|pkill) [\w/.$~\"-]",
            r"\s*echo [\"'$-]",
            r"cd [/$~.\"]",
        ),
        marks=((), ("$(", "${", "2>&1", ">/dev/null", "> /dev/null", '"$@"', "/bin/sh")),
    ),
    _language(
        "text/x-applescript",
        sure=(r"\s*tell application \"", r"\s*(?:set \w+ to )?\(?do shell script \""),
    ),
)  # fmt: skip
