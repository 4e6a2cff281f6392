/*
 * Runs single MMX, SSE and AVX instructions on this machine's processor: reads records from standard input, and writes each back
 * with the state after the instruction. simd-native.ts compiles and feeds it.
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
  uint8_t xmm[3][16];
  uint64_t mm[3];
  uint64_t rax, rcx, rdx, rflags;
  uint32_t mxcsr;
  uint32_t trapped;
  uint8_t memory[64];  /* the instruction finds it at [rdi] */
  uint8_t high[3][16]; /* upper halves of YMM registers, where the processor has them */
} __attribute__((aligned(32)));

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
  static uint32_t default_mxcsr = 0x1f80;
  int avx = __builtin_cpu_supports("avx");
  sigaltstack(&alternate, 0);
  sigaction(SIGFPE, &action, 0);
  sigaction(SIGILL, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  while (fread(&r, sizeof r, 1, stdin) == 1) {
    memcpy(page, r.code, r.length);
    page[r.length] = 0xc3;
    r.trapped = 0;
    if (sigsetjmp(escape, 1) == 0) {
      uint64_t rax = r.rax, rcx = r.rcx, rdx = r.rdx;
      /* Moves to XMM registers, and all that gcc makes here, leave the upper halves alone. */
      if (avx)
        __asm__ volatile("vinsertf128 $1, %0, %%ymm0, %%ymm0\n vinsertf128 $1, %1, %%ymm1, %%ymm1\n vinsertf128 $1, %2, %%ymm2, %%ymm2\n"
                         : : "m"(r.high[0]), "m"(r.high[1]), "m"(r.high[2]) : "xmm0", "xmm1", "xmm2");
      __asm__ volatile(
          "sub $128, %%rsp\n emms\n ldmxcsr %[mxcsr]\n movaps %[x0], %%xmm0\n movaps %[x1], %%xmm1\n movaps %[x2], %%xmm2\n"
          "movq %[m0], %%mm0\n movq %[m1], %%mm1\n movq %[m2], %%mm2\n"
          "push %[flags]\n popfq\n call *%[page]\n pushfq\n pop %[flags]\n"
          "stmxcsr %[mxcsr]\n ldmxcsr %[normal]\n movaps %%xmm0, %[x0]\n movaps %%xmm1, %[x1]\n movaps %%xmm2, %[x2]\n"
          "movq %%mm0, %[m0]\n movq %%mm1, %[m1]\n movq %%mm2, %[m2]\n emms\n add $128, %%rsp\n cld\n"
          : "+a"(rax), "+c"(rcx), "+d"(rdx), [flags] "+m"(r.rflags), [mxcsr] "+m"(r.mxcsr), [x0] "+m"(r.xmm[0]),
            [x1] "+m"(r.xmm[1]), [x2] "+m"(r.xmm[2]), [m0] "+m"(r.mm[0]), [m1] "+m"(r.mm[1]), [m2] "+m"(r.mm[2])
          : [page] "r"(page), "D"(r.memory), [normal] "m"(default_mxcsr)
          : "memory", "cc", "xmm0", "xmm1", "xmm2", "rsi");
      if (avx)
        __asm__ volatile("vextractf128 $1, %%ymm0, %0\n vextractf128 $1, %%ymm1, %1\n vextractf128 $1, %%ymm2, %2\n vzeroupper\n"
                         : "=m"(r.high[0]), "=m"(r.high[1]), "=m"(r.high[2]) : : "memory");
      r.rax = rax;
      r.rcx = rcx;
      r.rdx = rdx;
    } else {
      __asm__ volatile("emms\n ldmxcsr %0" ::"m"(default_mxcsr));
    }
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
