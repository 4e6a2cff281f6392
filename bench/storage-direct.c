/* direct DEVICE [random-]read|write BYTES COUNT: requests past the page cache, one after the other; writes end in a flush. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int write = strstr(argv[2], "write") != NULL, scattered = strstr(argv[2], "random") != NULL;
  long bytes = atol(argv[3]), count = atol(argv[4]), blocks = (128L << 20) / bytes;
  int fd = open(argv[1], (write ? O_WRONLY : O_RDONLY) | O_DIRECT);
  char *buffer;
  if (fd < 0 || posix_memalign((void **)&buffer, 4096, bytes)) return 1;
  memset(buffer, 0x5a, bytes);
  uint64_t x = 88172645463325252ULL;
  for (long i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    off_t at = (scattered ? (long)(x % blocks) : i % blocks) * bytes;
    if ((write ? pwrite(fd, buffer, bytes, at) : pread(fd, buffer, bytes, at)) != bytes) return 1;
  }
  return write ? fsync(fd) : 0;
}
