// The anti-virus test string. Written in hexadecimal, so that no scanner takes this
// file for the test file itself.

rule EICAR_Test_File
{
    meta:
        description = "Is the EICAR anti-virus test file"
        score = 100
        assessment = "malicious"
        family = "EICAR-Test-File"
    strings:
        $eicar = {
            58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43
            29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56
            49 52 55 53 2D 54 45 53 54 2D 46 49 4C 45 21 24 48 2B 48 2A
        }
    condition:
        // By definition: at the start, and at most 128 bytes with white space behind it.
        $eicar at 0 and filesize <= 128
}

rule EICAR_String_Inside
{
    meta:
        description = "Carries the EICAR anti-virus test string inside other content"
        score = 40
        assessment = "unknown"
        family = "EICAR-Test-File"
    strings:
        $eicar = {
            58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43
            29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56
            49 52 55 53 2D 54 45 53 54 2D 46 49 4C 45 21 24 48 2B 48 2A
        }
    condition:
        $eicar and not EICAR_Test_File
}
