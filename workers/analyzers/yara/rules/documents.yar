// Documents that carry or start code. The analyzer `document` looks inside containers;
// these rules see only what stands uncompressed.

rule Office_Zip_With_Macro_Project
{
    meta:
        description = "An Office Open XML file carries a VBA macro project"
        score = 20
        assessment = "unknown"
        behaviour = "macro"
    strings:
        $types = "[Content_Types].xml"
        $project = "vbaProject.bin" nocase
    condition:
        uint32be(0) == 0x504B0304 and $types and $project
}

rule OLE_With_Macro_Code
{
    meta:
        description = "An OLE file carries compressed VBA source code"
        score = 20
        assessment = "unknown"
        behaviour = "macro"
    strings:
        // The first words of every module, as VBA's compression leaves them.
        $attribute = "\x00Attribut\x00e"
    condition:
        uint32be(0) == 0xD0CF11E0 and $attribute
}

rule OLE_With_Macro_Auto_Exec_Name
{
    meta:
        description = "An OLE file names a macro that runs without being asked"
        score = 20
        assessment = "unknown"
        behaviour = "macro"
    strings:
        $vba = "_VBA_PROJECT" ascii wide nocase
        $name1 = "AutoOpen" ascii wide nocase fullword
        $name2 = "Auto_Open" ascii wide nocase fullword
        $name3 = "AutoExec" ascii wide nocase fullword
        $name4 = "Document_Open" ascii wide nocase fullword
        $name5 = "Workbook_Open" ascii wide nocase fullword
    condition:
        uint32be(0) == 0xD0CF11E0 and $vba and any of ($name*)
}

rule PDF_JavaScript_On_Open
{
    meta:
        description = "A PDF holds JavaScript and an action that runs when it is opened"
        score = 30
        assessment = "unknown"
        behaviour = "pdf-javascript"
    strings:
        // Readers look for the header within the first kilobyte.
        $header = "%PDF-"
        $javascript = /\/(JavaScript|JS)[ \r\n\t\/(<]/
        $action = /\/(OpenAction|AA)[ \r\n\t\/<\[0-9]/
    condition:
        $header in (0..1023) and $javascript and $action
}

rule PDF_Launch_Action
{
    meta:
        description = "A PDF tries to start a program"
        score = 50
        assessment = "unknown"
        behaviour = "pdf-launch"
    strings:
        $header = "%PDF-"
        $launch = /\/S[ \r\n\t]{0,4}\/Launch\b/
    condition:
        $header in (0..1023) and $launch
}

rule RTF_Embedded_Object
{
    meta:
        description = "An RTF document carries an embedded OLE object"
        score = 15
        assessment = "unknown"
        behaviour = "embedded-object"
    strings:
        $data = "\\objdata"
        $update = "\\objupdate"
    condition:
        uint32be(0) == 0x7B5C7274 and ($data or $update)
}

rule RTF_Equation_Editor_Object
{
    meta:
        description = "An RTF document embeds an Equation Editor object (CVE-2017-11882)"
        score = 60
        assessment = "malicious"
        behaviour = "exploit"
    strings:
        $class = "4571756174696f6e2e33" nocase
        $clsid = "02ce020000000000c000000000000046" nocase
    condition:
        uint32be(0) == 0x7B5C7274 and any of them
}
