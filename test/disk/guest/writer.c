/*
 * The guest's part of the test that kills machines (guest-kill.ts): writers that go on until their machine is gone.
 *
 * writer DEVICE SEED: three processes, each with a third of the disk, make random requests that follow from the seed. After each
 * flush they say on standard output how many of their requests came before it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 3, SECTOR = 512, LARGEST = 256 * SECTOR };

static uint32_t state;

/* xorshift32: a number below limit. */
static uint32_t next(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static void writer(const char *device, uint32_t seed, uint32_t number) {
  int fd = open(device, O_RDWR | O_DIRECT);
  uint64_t bytes = 0;
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0) {
    perror(device);
    exit(1);
  }
  uint32_t sectors = bytes / SECTOR / WRITERS;
  uint8_t *buffer;
  if (posix_memalign((void **)&buffer, 4096, LARGEST)) exit(1);
  memset(buffer, 0, LARGEST);
  state = seed * 4 + number + 1;
  for (uint32_t count = 1;; count++) {
    uint32_t kind = next(20);
    uint32_t most = next(8) == 0 ? 256 : 24;
    uint32_t length = 1 + next(most);
    uint32_t at = number * sectors + next(sectors - length);
    uint64_t range[2] = {(uint64_t)at * SECTOR, (uint64_t)length * SECTOR};
    int flush = next(8) == 0;
    if (kind < 16) {
      for (uint32_t i = 0; i < length; i++) {
        uint32_t words[2] = {seed, count};
        memcpy(buffer + i * SECTOR, words, 8);
        memcpy(buffer + (i + 1) * SECTOR - 8, words, 8);
      }
      if (pwrite(fd, buffer, range[1], range[0]) != (ssize_t)range[1]) {
        perror("write");
        exit(1);
      }
    } else if (kind < 18) {
      if (ioctl(fd, BLKZEROOUT, range) < 0) {
        perror("zero");
        exit(1);
      }
    } else {
      ioctl(fd, BLKDISCARD, range); /* not every bus has it */
    }
    if (flush) {
      if (fsync(fd) < 0) {
        perror("flush");
        exit(1);
      }
      char line[40];
      int size = snprintf(line, sizeof line, "F %u %u\n", number, count);
      if (write(1, line, size) != size) exit(1);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  for (uint32_t i = 0; i < WRITERS; i++)
    if (fork() == 0) writer(argv[1], atoi(argv[2]), i);
  wait(NULL); /* the first that fails ends all */
  return 1;
}
