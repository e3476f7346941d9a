#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX 128

struct packet {
    char symbol[5];
    char side;
    int quantity, price, sequence;
};

struct packet packets[MAX];
int count = 0;

int dial(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(getenv("BETACREW_PORT") ? atoi(getenv("BETACREW_PORT")) : 3000);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (connect(sock, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("connect");
        exit(0);
    }
    return sock;
}

int number(unsigned char *at) {
    int value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

int read_packet(int sock) {
    unsigned char buffer[17];
    struct packet *p = &packets[count];
    if (read(sock, buffer, 17) <= 0) return 0;
    memcpy(p->symbol, buffer, 4);
    p->side = buffer[4];
    p->quantity = number(buffer + 5);
    p->price = number(buffer + 9);
    p->sequence = number(buffer + 13);
    if (count < MAX - 1) count++;
    return 1;
}

int compare(const void *a, const void *b) {
    return ((struct packet *)a)->sequence - ((struct packet *)b)->sequence;
}

int main(void) {
    unsigned char call[2] = {1, 0};
    int sock = dial();
    write(sock, call, 2);
    while (read_packet(sock)) continue;
    close(sock);

    int received = count, expected = 1;
    sock = dial();
    for (int i = 0; i < received; i++) {
        for (; expected < packets[i].sequence; expected++) {
            call[0] = 2;
            call[1] = expected;
            write(sock, call, 2);
        }
        expected = packets[i].sequence + 1;
    }
    if (count < expected - 1) read_packet(sock);
    close(sock);

    qsort(packets, count, sizeof *packets, compare);
    FILE *out = fopen("output.json", "w");
    fprintf(out, "[\n");
    for (int i = 0; i < count; i++)
        fprintf(out, "{\"symbol\":\"%s\",\"buySell\":\"%c\",\"quantity\":%d,\"price\":%d,\"sequence\":%d}%s\n",
                packets[i].symbol, packets[i].side, packets[i].quantity, packets[i].price,
                packets[i].sequence, i < count - 1 ? "," : "");
    fprintf(out, "]\n");
    fclose(out);
    return 0;
}
