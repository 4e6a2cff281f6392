/*
 * Runs single x87 and SSE instructions on this machine's processor: reads records from standard input, and writes each back
 * with the state after the instruction. native.ts compiles and feeds it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct record {
  uint8_t code[15];
  uint8_t length;
  uint8_t fsave[108];
  uint32_t mxcsr;
  uint8_t xmm[2][16];
  uint64_t rax;
  uint64_t rflags;
  uint32_t trapped;
  uint8_t more[76]; /* of the code */
  uint8_t memory[1024]; /* the instruction finds it at [rdi] */
} __attribute__((aligned(64)));

static struct record r;
static sigjmp_buf escape;

static void on_signal(int number, siginfo_t *info, void *context) {
  ucontext_t *u = context;
  (void)info;
  r.trapped = number;
  r.mxcsr = u->uc_mcontext.fpregs->mxcsr;
  siglongjmp(escape, 1);
}

int main(void) {
  uint8_t *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  static uint8_t stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  uint32_t default_mxcsr = 0x1f80;
  sigaltstack(&alternate, 0);
  sigaction(SIGFPE, &action, 0);
  sigaction(SIGILL, &action, 0);
  while (fread(&r, sizeof r, 1, stdin) == 1) {
    memcpy(page, r.code, sizeof r.code);
    memcpy(page + sizeof r.code, r.more, sizeof r.more);
    page[r.length] = 0xc3;
    r.trapped = 0;
    if (sigsetjmp(escape, 1) == 0) {
      uint64_t rax = r.rax, rflags = r.rflags;
      __asm__ volatile(
          "sub $128, %%rsp\n frstor %[fsave]\n ldmxcsr %[mxcsr]\n movaps %[xmm0], %%xmm0\n movaps %[xmm1], %%xmm1\n"
          "push %[flags]\n popfq\n call *%[page]\n pushfq\n pop %[flags]\n"
          "stmxcsr %[mxcsr]\n ldmxcsr %[normal]\n movaps %%xmm0, %[xmm0]\n movaps %%xmm1, %[xmm1]\n fnsave %[fsave]\n add $128, %%rsp\n cld\n"
          : "+a"(rax), [flags] "+r"(rflags), [mxcsr] "+m"(r.mxcsr), [xmm0] "+m"(r.xmm[0]), [xmm1] "+m"(r.xmm[1]),
            [fsave] "+m"(r.fsave)
          : [page] "r"(page), "D"(r.memory), [normal] "m"(default_mxcsr)
          : "memory", "cc", "xmm0", "xmm1", "rcx", "rdx", "rsi");
      r.rax = rax;
      r.rflags = rflags;
    } else {
      __asm__ volatile("fninit\n ldmxcsr %0" ::"m"(default_mxcsr));
    }
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
