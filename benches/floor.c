// The floor: asks the kernel for the same dumps as a full count does and counts the messages, no
// more. Nothing that gets its sockets from NETLINK_SOCK_DIAG can cost less. Prints the total.
//
//     floor [rest | time_wait | port | times | DIRECTORY]
//
// TCP that is not ESTABLISHED, what is in TIME_WAIT alone, or what has port 9 at the other end: the
// kernel looks at every socket and leaves out the others. With times: every socket of TCP with its
// struct tcp_info. With a directory of network namespaces, such as /run/netns: in each of them.

#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM = 32 * 1024 };
enum { TCP_STATES = 0xffe }; // every state but BOUND_INACTIVE
enum { UDP_STATES = 1 << 1 | 1 << 7 }; // connected, unconnected

struct condition {
    struct nlattr header;
    struct inet_diag_bc_op least, first, most, last;
};

enum { OP = sizeof(struct inet_diag_bc_op) };

// The port at the other end is at least and at most 9, as every kernel can be asked; else the answer
// is one past the program's end.
static const struct condition PORT = {
    .header = {.nla_len = sizeof(struct condition), .nla_type = INET_DIAG_REQ_BYTECODE},
    .least = {.code = INET_DIAG_BC_D_GE, .yes = 2 * OP, .no = 5 * OP},
    .first = {.no = 9},
    .most = {.code = INET_DIAG_BC_D_LE, .yes = 2 * OP, .no = 3 * OP},
    .last = {.no = 9},
};

static enum { ALL, REST, TIME_WAIT, ON_PORT, TIMES } asked = ALL;

// Sends one dump request; returns the number of sockets in the answer.
static long dump(int fd, unsigned short type, const void *payload, size_t size)
{
    struct {
        struct nlmsghdr header;
        char payload[sizeof(struct inet_diag_req_v2) + sizeof(struct condition)];
    } request = {{
        .nlmsg_len = NLMSG_LENGTH(size),
        .nlmsg_type = type,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
    }, {0}};
    memcpy(request.payload, payload, size);
    if (asked == ON_PORT) {
        memcpy(request.payload + size, &PORT, sizeof PORT);
        request.header.nlmsg_len += sizeof PORT;
    }
    if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
        err(1, "send");

    static char buffer[DATAGRAM] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (long count = 0;;) {
        ssize_t received = recv(fd, buffer, sizeof buffer, 0);
        if (received < 0)
            err(1, "recv");
        size_t rest = (size_t)received;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, rest);
             message = NLMSG_NEXT(message, rest)) {
            if (message->nlmsg_type == NLMSG_DONE)
                return count;
            if (message->nlmsg_type == NLMSG_ERROR)
                errx(1, "NLMSG_ERROR");
            count++;
        }
    }
}

// Counts in the namespace of this process.
static long count_here(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        err(1, "socket");

    static const unsigned states[] = {
        [ALL] = TCP_STATES,
        [REST] = TCP_STATES & ~(1 << 1),
        [TIME_WAIT] = 1 << 6,
        [ON_PORT] = TCP_STATES,
        [TIMES] = TCP_STATES,
    };
    struct inet_diag_req both = {
        .idiag_family = AF_INET,
        .idiag_states = states[asked],
        .idiag_ext = asked == TIMES ? 1 << (INET_DIAG_INFO - 1) : 0,
    };
    long count = dump(fd, TCPDIAG_GETSOCK, &both, sizeof both);
    for (int i = 0; asked != REST && asked != TIME_WAIT && i < 2; i++) {
        struct inet_diag_req_v2 one = {
            .sdiag_family = i == 0 ? AF_INET : AF_INET6,
            .sdiag_protocol = IPPROTO_UDP,
            .idiag_states = UDP_STATES,
        };
        count += dump(fd, SOCK_DIAG_BY_FAMILY, &one, sizeof one);
    }
    close(fd);
    return count;
}

static long count_in_each(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        err(1, "%s", path);
    long count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
            err(1, "%s", entry->d_name);
        close(fd);
        count += count_here();
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "rest") == 0)
        asked = REST;
    else if (strcmp(what, "time_wait") == 0)
        asked = TIME_WAIT;
    else if (strcmp(what, "port") == 0)
        asked = ON_PORT;
    else if (strcmp(what, "times") == 0)
        asked = TIMES;
    const int in_each = argc > 1 && asked == ALL;
    return printf("%ld\n", in_each ? count_in_each(what) : count_here()) < 0;
}
