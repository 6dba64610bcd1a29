// Scripts that fetch, hide or hand over a shell. Patterns are of techniques, not of
// families, and need two halves of one: either alone is in many an honest script.

rule PowerShell_Download_Cradle
{
    meta:
        description = "PowerShell fetches code from the network and runs it"
        score = 60
        assessment = "malicious"
        behaviour = "download-and-execute"
    strings:
        $fetch1 = ".DownloadString(" ascii wide nocase
        $fetch2 = ".DownloadData(" ascii wide nocase
        $fetch3 = "Invoke-WebRequest" ascii wide nocase
        $fetch4 = "Invoke-RestMethod" ascii wide nocase
        $run1 = "Invoke-Expression" ascii wide nocase
        $run2 = /\bIEX[ \t]*[\(\$&]/ ascii wide nocase
        $run3 = /\|[ \t]*IEX\b/ ascii wide nocase
        $run4 = "[Reflection.Assembly]::Load" ascii wide nocase
    condition:
        any of ($fetch*) and any of ($run*)
}

rule PowerShell_Hidden_Encoded_Command
{
    meta:
        description = "Starts PowerShell with a hidden window or an encoded command"
        score = 40
        assessment = "unknown"
        behaviour = "encoded-command"
    strings:
        $shell = "powershell" ascii wide nocase
        $hidden = /-w(indowstyle)?[ ]{1,4}hidden/ ascii wide nocase
        $encoded = /-e(nc|ncodedcommand|c)?[ ]{1,4}[A-Za-z0-9+\/]{40}/ ascii wide nocase
    condition:
        $shell and ($hidden or $encoded)
}

rule Unix_Reverse_Shell
{
    meta:
        description = "Connects a shell to a remote address"
        score = 60
        assessment = "malicious"
        behaviour = "reverse-shell"
    strings:
        $bash = /sh -i[ ]{0,4}(>&|&>|0?<)[ ]{0,4}\/dev\/(tcp|udp)\//
        $exec = /exec [0-9]{1,3}<>\/dev\/(tcp|udp)\//
        $netcat = /\b(nc|ncat|netcat)\b[^\r\n]{0,80} -e[ ]{0,4}['"]?\/bin\/(ba|da|z)?sh/
        $python = /os\.dup2\([^\r\n]{0,60}fileno\(\)/
        $socket = "socket.socket"
        // Servers hand sockets on, too; a shell is what makes it one.
        $shell = /["'](\/bin\/)?(ba|da|z|k)?sh["']|\bpty\.spawn\b|\bcmd\.exe\b/
    condition:
        $bash or $exec or $netcat or ($python and $socket and $shell)
}

rule Shell_Download_And_Run
{
    meta:
        description = "A shell script pipes a download straight into an interpreter"
        score = 30
        assessment = "unknown"
        behaviour = "download-and-execute"
    strings:
        $pipe = /\b(curl|wget)\b[^\r\n|]{1,200}\|[ ]{0,4}(sudo[ ]{1,4})?(ba|da|z)?sh\b/
    condition:
        // Long texts that say how something is installed are manuals.
        $pipe and (uint16be(0) == 0x2321 or filesize < 4KB)
}

rule Windows_Script_Downloader
{
    meta:
        description = "A Windows script downloads a file and starts a program"
        score = 50
        assessment = "unknown"
        behaviour = "download-and-execute"
    strings:
        $http1 = "MSXML2.XMLHTTP" ascii wide nocase
        $http2 = "WinHttp.WinHttpRequest" ascii wide nocase
        $stream = "ADODB.Stream" ascii wide nocase
        $run1 = "WScript.Shell" ascii wide nocase
        $run2 = "Shell.Application" ascii wide nocase
    condition:
        any of ($http*) and $stream and any of ($run*)
}
