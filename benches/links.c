/*
 * The floor of looking up processes: follows every link in every /proc/PID/fd, and prints how many are
 * sockets.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char path[64], target[64];
	struct dirent *process, *link;
	long sockets = 0;
	DIR *all = opendir("/proc");

	while (all && (process = readdir(all))) {
		if (!isdigit((unsigned char)process->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd", process->d_name);
		DIR *table = opendir(path);
		while (table && (link = readdir(table))) {
			ssize_t length = readlinkat(dirfd(table), link->d_name, target, sizeof(target));
			sockets += length > 8 && !memcmp(target, "socket:[", 8);
		}
		if (table)
			closedir(table);
	}
	printf("%ld\n", sockets);
	return 0;
}
