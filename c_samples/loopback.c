/*
 * loopback.c: a round trip through the network, on this machine.
 *
 * concepts: portal
 *
 * See: a server and a client in one process, on 127.0.0.1. Nothing of it is possible without the kernel: each step is a
 * system call, each on its own line. connect does not wait for accept: the kernel completes the connection for a
 * listening socket by itself. The bytes sent from one end are read at the other, sent back and read again; then one end
 * says that it has no more, and the other reads 0 bytes.
 *
 * Facts: calls port_chosen bytes_sent bytes_arrived bytes_returned bytes_echoed at_end sum system_calls (main's own
 *        between socket and the last close) line_*
 */
#include "facts.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { SIZE = 1009, SYSTEM_CALLS = 16 };

static char message[SIZE], arrived[SIZE], echoed[SIZE], end;

int main(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = 0 };
    struct sockaddr *address = (struct sockaddr *)&name;
    socklen_t size = sizeof name;
    uint64_t sum = 0;

    facts_begin();
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < SIZE; i++)
        message[i] = (char)('a' + i % 26);

    int server = socket(AF_INET, SOCK_STREAM, 0);                   FACT_LINE("socket_server");
    int bound = bind(server, address, sizeof name);                 FACT_LINE("bind");              /* port 0: any that is free */
    int listening = listen(server, 1);                              FACT_LINE("listen");
    int named = getsockname(server, address, &size);                FACT_LINE("getsockname");       /* which one is it? */
    int client = socket(AF_INET, SOCK_STREAM, 0);                   FACT_LINE("socket_client");
    int connected = connect(client, address, size);                 FACT_LINE("connect");
    int peer = accept(server, NULL, NULL);                          FACT_LINE("accept");
    if (server < 0 || bound != 0 || listening != 0 || named != 0 || client < 0 || connected != 0 || peer < 0)
        return 1;

    ssize_t sent = send(client, message, SIZE, 0);                  FACT_LINE("send");
    ssize_t there = recv(peer, arrived, SIZE, MSG_WAITALL);         FACT_LINE("recv");
    ssize_t returned = send(peer, arrived, SIZE, 0);                FACT_LINE("send_back");
    ssize_t back = recv(client, echoed, SIZE, MSG_WAITALL);         FACT_LINE("recv_back");
    int closing = shutdown(client, SHUT_WR);                        FACT_LINE("shutdown");          /* no more from here */
    ssize_t at_end = recv(peer, &end, 1, 0);                        FACT_LINE("recv_end");
    if (closing != 0)
        return 1;
    close(peer);                                                    FACT_LINE("close_peer");
    close(client);                                                  FACT_LINE("close_client");
    close(server);                                                  FACT_LINE("close_server");

    for (size_t i = 0; i < SIZE; i++)
        sum += (unsigned char)echoed[i];
    fact_u64("calls", 0);
    fact_u64("port_chosen", name.sin_port != 0);
    fact_u64("bytes_sent", (uint64_t)sent);
    fact_u64("bytes_arrived", (uint64_t)there);
    fact_u64("bytes_returned", (uint64_t)returned);
    fact_u64("bytes_echoed", (uint64_t)back);
    fact_u64("at_end", (uint64_t)at_end);
    fact_u64("sum", sum);
    fact_u64("system_calls", SYSTEM_CALLS);
    facts_end();
    return 0;
}
