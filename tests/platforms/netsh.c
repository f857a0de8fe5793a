/* Stands for the netsh of Windows, which Wine has none of: prints the file beside it that is called like
 * its arguments, joined by dashes. Where there is none it fails, and where that says so it hangs. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

int main(int argc, char **argv)
{
    char path[4 * MAX_PATH], text[1 << 16];
    FILE *file;
    size_t length;

    GetModuleFileNameA(NULL, path, MAX_PATH);
    *(strrchr(path, '\\') + 1) = '\0';
    for (int i = 1; i < argc && strlen(path) + strlen(argv[i]) + 2 < sizeof path; i++) {
        strcat(path, i > 1 ? "-" : "");
        strcat(path, argv[i]);
    }
    file = fopen(path, "rb");
    if (!file)
        return 1;
    length = fread(text, 1, sizeof text, file);
    if (length >= 4 && memcmp(text, "hang", 4) == 0)
        Sleep(10000);
    fwrite(text, 1, length, stdout);
    return 0;
}
