/* What the system itself says of its sockets and their processes, as JSON: what the check is compared
 * with on Windows. With the argument "wait" it is a process that holds what it was given, until its
 * standard input ends; with "properties" and a file it says what the file's properties show, and
 * what its manifest is.
 *
 * Sockets are asked for as by GetExtendedTcpTable(), names by QueryFullProcessImageNameW(): not as
 * the check asks. */
#include <winsock2.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <psapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static void *table(int family, int tcp)
{
    /* Room for more than there are: the table must not grow meanwhile. */
    DWORD size = 64 << 20;
    void *rows = malloc(size);
    DWORD error = tcp ? GetExtendedTcpTable(rows, &size, FALSE, family, TCP_TABLE_OWNER_PID_ALL, 0)
                      : GetExtendedUdpTable(rows, &size, FALSE, family, UDP_TABLE_OWNER_PID, 0);

    if (error == NO_ERROR)
        return rows;
    fprintf(stderr, "no table: error %lu\n", error);
    exit(1);
}

static void row(const char *type, DWORD state, DWORD port, DWORD pid)
{
    static int first = 1;

    printf("%s{\"type\": \"%s\", \"state\": %lu, \"port\": %u, \"pid\": %lu}", first ? "" : ", ",
           type, state, (unsigned)(port & 0xff) << 8 | (unsigned)(port >> 8 & 0xff), pid);
    first = 0;
}

static void sockets(void)
{
    MIB_TCPTABLE_OWNER_PID *tcp = table(AF_INET, 1);
    MIB_TCP6TABLE_OWNER_PID *tcp6 = table(AF_INET6, 1);
    MIB_UDPTABLE_OWNER_PID *udp = table(AF_INET, 0);
    MIB_UDP6TABLE_OWNER_PID *udp6 = table(AF_INET6, 0);

    for (DWORD i = 0; i < tcp->dwNumEntries; i++)
        row("tcp", tcp->table[i].dwState, tcp->table[i].dwLocalPort, tcp->table[i].dwOwningPid);
    for (DWORD i = 0; i < tcp6->dwNumEntries; i++)
        row("tcp6", tcp6->table[i].dwState, tcp6->table[i].dwLocalPort, tcp6->table[i].dwOwningPid);
    for (DWORD i = 0; i < udp->dwNumEntries; i++)
        row("udp", 0, udp->table[i].dwLocalPort, udp->table[i].dwOwningPid);
    for (DWORD i = 0; i < udp6->dwNumEntries; i++)
        row("udp6", 0, udp6->table[i].dwLocalPort, udp6->table[i].dwOwningPid);
}

static void names(void)
{
    DWORD pids[4096], size = 0;

    EnumProcesses(pids, sizeof pids, &size);
    for (DWORD i = 0, first = 1; i < size / sizeof *pids; i++) {
        WCHAR path[MAX_PATH];
        char name[3 * MAX_PATH];
        DWORD length = MAX_PATH;
        HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pids[i]);

        if (process && QueryFullProcessImageNameW(process, 0, path, &length)) {
            const WCHAR *file = wcsrchr(path, L'\\');

            WideCharToMultiByte(CP_UTF8, 0, file ? file + 1 : path, -1, name, sizeof name, NULL, NULL);
            printf("%s\"%lu\": \"%s\"", first ? "" : ", ", pids[i], name);
            first = 0;
        }
        if (process)
            CloseHandle(process);
    }
}

static void property(const void *block, const char *name)
{
    char path[64];
    void *text = NULL;
    UINT length = 0;

    /* English (United States), as Windows takes it for neutral, in Unicode. */
    snprintf(path, sizeof path, "\\StringFileInfo\\000004b0\\%s", name);
    VerQueryValueA(block, path, &text, &length);
    printf("\"%s\": \"%s\", ", name, text ? (char *)text : "");
}

static void properties(const char *file)
{
    static char block[1 << 14];
    HMODULE module = LoadLibraryExA(file, NULL, LOAD_LIBRARY_AS_DATAFILE);
    HRSRC found = FindResourceA(module, MAKEINTRESOURCEA(1), MAKEINTRESOURCEA(24)); /* RT_MANIFEST */
    VS_FIXEDFILEINFO *fixed = NULL;
    UINT length = 0;

    if (!found || !GetFileVersionInfoA(file, 0, sizeof block, block) ||
        !VerQueryValueA(block, "\\", (void **)&fixed, &length)) {
        fprintf(stderr, "no properties: error %lu\n", GetLastError());
        exit(1);
    }
    printf("{");
    property(block, "FileDescription");
    property(block, "FileVersion");
    property(block, "OriginalFilename");
    printf("\"version\": [%u, %u, %u], \"manifest\": \"", HIWORD(fixed->dwFileVersionMS),
           LOWORD(fixed->dwFileVersionMS), HIWORD(fixed->dwFileVersionLS));
    const unsigned char *text = LockResource(LoadResource(module, found));
    for (DWORD i = 0; i < SizeofResource(module, found); i++)
        printf("\\u%04x", text[i]);
    printf("\"}\n");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        printf("%lu\n", GetCurrentProcessId());
        fflush(stdout);
        while (getchar() != EOF)
            ;
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "properties") == 0) {
        properties(argv[2]);
        return 0;
    }
    printf("{\"sockets\": [");
    sockets();
    printf("], \"names\": {");
    names();
    printf("}}\n");
    return 0;
}
