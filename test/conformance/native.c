/*
 * Runs instructions on the processor it is started on: reads records from standard input, writes them back with the state
 * after the instruction. The layout is native.ts's; both 64- and 32-bit builds use it (32-bit: low halves, eight registers).
 *
 * Every record is started by returning from a signal handler into its state and ends with a signal: a breakpoint after
 * the instruction, or the fault that it raised. One handler stores the one and sets up the next.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define DATA 0x10000000u /* two pages, nothing mapped around them */
#define CODE 0x20000000u /* two pages */
#define PAGE 4096
#define WINDOW 256 /* bytes of data around the boundary of the two pages; its first half is also the end of the second */
#define FLAGS 0xcd5u /* CF PF AF ZF SF DF OF */

struct record {
  uint8_t code[16];
  uint32_t length, offset; /* offset of the code in its pages */
  uint64_t gpr[16];        /* in the order of their numbers */
  uint64_t flags;
  uint64_t rip;      /* result */
  uint32_t vector;   /* result: 3 is the end */
  uint32_t error;    /* result */
  uint64_t address;  /* result: CR2 */
  uint64_t hash;     /* result: of the data pages */
  uint32_t mxcsr, reserved;
  uint8_t xmm[256];
  uint8_t window[WINDOW];
  uint8_t end[WINDOW / 2]; /* result */
  uint8_t high[256];       /* upper halves of YMM registers; zeros where there are none */
};

static struct record *records;
static size_t count, current;
static ucontext_t home;
static int running;
static uint8_t pattern[2 * PAGE];

#ifdef __x86_64__
static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
#define REGISTERS 16
#define REG_IP REG_RIP
#define REG_FLAGS REG_EFL
#define CR2 (uc->uc_mcontext.gregs[REG_CR2])
#define FXSAVE(uc) ((uint8_t *)(uc)->uc_mcontext.fpregs)
#else
static const int registers[8] = {REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI};
#define REGISTERS 8
#define REG_IP REG_EIP
#define REG_FLAGS REG_EFL
#define CR2 (uc->uc_mcontext.cr2)
#define FXSAVE(uc) ((uint8_t *)(uc)->uc_mcontext.fpregs + 112)
#endif

/* The upper halves of YMM registers in a signal frame: AVX's component of an XSAVE image in the standard format. */
static uint8_t *ymm_high(uint8_t *fx) {
  uint32_t magic;
  uint64_t features;
  memcpy(&magic, fx + 464, 4);
  memcpy(&features, fx + 472, 8);
  return magic == 0x46505853 && features & 4 ? fx + 576 : NULL;
}

static uint8_t *const data = (uint8_t *)(uintptr_t)DATA;
static uint8_t *const code = (uint8_t *)(uintptr_t)CODE;

/* As in native.ts. */
static uint64_t hash_data(void) {
  const uint32_t *words = (const uint32_t *)data;
  uint32_t a = 1, b = 2;
  for (int i = 0; i < 2 * PAGE / 4; i += 2) {
    a = (a ^ words[i]) * 0x9e3779b1u;
    b = (b ^ words[i + 1]) * 0x85ebca6bu;
    a ^= a >> 15;
    b ^= b >> 13;
  }
  return (uint64_t)b << 32 | a;
}

static void start(ucontext_t *uc, struct record *r) {
  memcpy(data, pattern, 2 * PAGE);
  memcpy(data + PAGE - WINDOW / 2, r->window, WINDOW);
  memcpy(data + 2 * PAGE - WINDOW / 2, r->window, WINDOW / 2);
  memset(code, 0xcc, 2 * PAGE);
  memcpy(code + r->offset, r->code, r->length);
  for (int i = 0; i < REGISTERS; i++) uc->uc_mcontext.gregs[registers[i]] = r->gpr[i];
  uc->uc_mcontext.gregs[REG_FLAGS] = 0x202 | (r->flags & FLAGS);
  uc->uc_mcontext.gregs[REG_IP] = CODE + r->offset;
  uint8_t *fx = FXSAVE(uc);
  memcpy(fx + 24, &r->mxcsr, 4);
  memcpy(fx + 160, r->xmm, REGISTERS * 16);
  uint8_t *high = ymm_high(fx);
  if (high) {
    fx[512] |= 7;
    memcpy(high, r->high, REGISTERS * 16);
  }
}

static void finish(ucontext_t *uc, struct record *r) {
  for (int i = 0; i < REGISTERS; i++) {
    uint64_t value = uc->uc_mcontext.gregs[registers[i]];
    r->gpr[i] = REGISTERS == 8 ? (uint32_t)value : value;
  }
  r->flags = (uint32_t)uc->uc_mcontext.gregs[REG_FLAGS];
  r->rip = REGISTERS == 8 ? (uint32_t)uc->uc_mcontext.gregs[REG_IP] : (uint64_t)uc->uc_mcontext.gregs[REG_IP];
  r->vector = uc->uc_mcontext.gregs[REG_TRAPNO];
  r->error = uc->uc_mcontext.gregs[REG_ERR];
  r->address = REGISTERS == 8 ? (uint32_t)CR2 : (uint64_t)CR2;
  r->hash = hash_data();
  uint8_t *fx = FXSAVE(uc);
  memcpy(&r->mxcsr, fx + 24, 4);
  memcpy(r->xmm, fx + 160, REGISTERS * 16);
  uint8_t *high = ymm_high(fx);
  memset(r->high, 0, sizeof r->high);
  if (high && fx[512] & 4) memcpy(r->high, high, REGISTERS * 16);
  memcpy(r->window, data + PAGE - WINDOW / 2, WINDOW);
  memcpy(r->end, data + 2 * PAGE - WINDOW / 2, WINDOW / 2);
}

static void handler(int signal, siginfo_t *info, void *context) {
  /* POPF may have set AC, and the handler's own accesses need not be aligned. NT and ID would stay for the next record. */
#ifdef __x86_64__
  __asm__ volatile("pushfq; andl $~0x244000, (%%rsp); popfq" ::: "memory", "cc");
#else
  __asm__ volatile("pushfl; andl $~0x244000, (%%esp); popfl" ::: "memory", "cc");
#endif
  ucontext_t *uc = context;
  (void)signal;
  (void)info;
  if (running) {
    finish(uc, &records[current]);
    current++;
  } else {
    running = 1;
    memcpy(&home.uc_mcontext.gregs, &uc->uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
  }
  if (current < count) {
    start(uc, &records[current]);
  } else {
    running = 0;
    memcpy(&uc->uc_mcontext.gregs, &home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
  }
}

int main(void) {
  if (mmap(data, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != data) return 10;
  if (mmap(code, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != code)
    return 11;
  for (int i = 0; i < 2 * PAGE; i++) pattern[i] = i * 37 + 11;
  stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  if (sigaltstack(&stack, NULL)) return 12;
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
  const size_t batch = 256;
  records = malloc(batch * sizeof *records);
  while ((count = fread(records, sizeof *records, batch, stdin)) > 0) {
    current = 0;
    __asm__ volatile("int3" ::: "memory");
    if (fwrite(records, sizeof *records, count, stdout) != count) return 13;
    fflush(stdout);
  }
  return 0;
}
