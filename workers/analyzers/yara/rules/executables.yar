// Programs that hide what they are, or reach into others.

import "pe"
import "elf"

rule UPX_Packed
{
    meta:
        description = "A program is packed with UPX"
        score = 15
        assessment = "informational"
        behaviour = "packed"
    strings:
        $name = "UPX0" fullword
        $mark = "UPX!"
    condition:
        (pe.is_pe and $name and $mark) or (uint32be(0) == 0x7F454C46 and $mark)
}

rule PE_Without_Imports
{
    meta:
        description = "A Windows program imports nothing, so it finds functions by itself"
        score = 15
        assessment = "unknown"
        behaviour = "hidden-imports"
    condition:
        pe.is_pe and pe.entry_point_raw != 0 and pe.number_of_imports == 0
        and pe.number_of_delayed_imports == 0
        and pe.subsystem != pe.SUBSYSTEM_NATIVE
        and pe.subsystem != pe.SUBSYSTEM_EFI_APPLICATION
        and pe.subsystem != pe.SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER
        and pe.subsystem != pe.SUBSYSTEM_EFI_RUNTIME_DRIVER
}

rule PE_Remote_Thread_Injection
{
    meta:
        description = "A Windows program can write code into another process and run it"
        score = 45
        assessment = "unknown"
        behaviour = "process-injection"
    condition:
        pe.is_pe
        and pe.imports("kernel32.dll", "WriteProcessMemory")
        and pe.imports("kernel32.dll", "VirtualAllocEx")
        and (
            pe.imports("kernel32.dll", "CreateRemoteThread")
            or pe.imports("kernel32.dll", "QueueUserAPC")
            or pe.imports("kernel32.dll", "SetThreadContext")
        )
}

rule Program_Inside_Document
{
    meta:
        description = "A document or picture carries a Windows program uncompressed"
        score = 40
        assessment = "unknown"
        behaviour = "embedded-payload"
    strings:
        $stub = "This program cannot be run in DOS mode"
    condition:
        $stub and (
            uint32be(0) == 0xD0CF11E0      // OLE
            or uint32be(0) == 0x25504446   // PDF
            or uint32be(0) == 0x7B5C7274   // RTF
            or uint32be(0) == 0x89504E47   // PNG
            or uint16be(0) == 0xFFD8       // JPEG
        )
}

rule ELF_Miner_Configuration
{
    meta:
        description = "A Linux program speaks the protocol of mining pools"
        score = 50
        assessment = "unknown"
        behaviour = "coin-miner"
    strings:
        $pool1 = "stratum+tcp://"
        $pool2 = "stratum+ssl://"
        $option = "donate-level"
    condition:
        elf.type != 0 and any of ($pool*) and $option
}
