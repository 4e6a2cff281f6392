/* Multiboot's entry in 32-bit mode: the first GiB mapped by large pages, 64-bit mode, SSE and x87 ready, then kmain; powers off through the debug exit. */
.section .multiboot,"a"
.align 4
.long 0x1badb002
.long 0
.long -(0x1badb002)
.code32
.section .text
.globl _start
_start:
  cli
  mov $stack_top, %esp
  mov $pdpt+3, %eax
  mov %eax, pml4
  mov $pd+3, %eax
  mov %eax, pdpt
  mov $pd, %edi
  mov $0x83, %eax
  mov $512, %ecx
1: mov %eax,(%edi)
  movl $0,4(%edi)
  add $8,%edi
  add $0x200000,%eax
  loop 1b
  mov $pml4,%eax
  mov %eax,%cr3
  mov $0x620,%eax      # PAE OSFXSR OSXMMEXCPT
  mov %eax,%cr4
  mov $0xc0000080,%ecx
  rdmsr
  or $0x100,%eax
  wrmsr
  mov $0x80000023,%eax
  mov %eax,%cr0
  lgdt gdtr
  ljmp $8,$long_start
.code64
long_start:
  mov $16,%eax
  mov %eax,%ds
  mov %eax,%es
  mov %eax,%ss
  mov $stack_top,%rsp
  fninit
  call kmain
  mov $0x501, %edx
  mov $0,%eax
  out %al,%dx
9: cli
  hlt
  jmp 9b
.align 8
gdt: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23
 .long gdt
.section .bss
.align 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096
.skip 65536
stack_top:
