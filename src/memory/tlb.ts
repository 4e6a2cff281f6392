/**
 * The software TLB: for each access class 1024 direct-mapped entries, hashed so that buffers 4 MiB apart do not fight for one, that take a guest-virtual page straight to
 * guest RAM in memory 1. Generated code probes it inline: it compares the page of the access's last byte with the tag
 * of the entry for the page of the first, so that one comparison finds permission, presence and page crossing.
 *
 * An entry is 32 bytes:
 *   +0  i64 tag for reads: the linear address of the page, or NO_TAG
 *   +8  i64 tag for writes: likewise; only when the page is dirty in the page table and the frame can be written fast
 *   +16 i64 tag for instruction fetches
 *   +24 i32 address in memory 1 of the page, minus the low 32 bits of its linear address
 *   +28 i32 guest-physical frame number; bit 31: a global page
 */
export const TLB_ENTRIES = 1024
export const TLB_ENTRY_SIZE = 32
export const TLB_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE
export const TLB_READ = 0
export const TLB_WRITE = 8
export const TLB_FETCH = 16
export const TLB_ADDEND = 24
export const TLB_FRAME = 28

/** A tag that no page has: its low bits are not zero. */
export const NO_TAG = 1

/** Access classes, each with a TLB of its own: what the privilege of data accesses and fetches depends on. */
export const TLB_SUPERVISOR = 0
export const TLB_USER = 1
/** Supervisor while SMAP is on and EFLAGS.AC allows user pages. */
export const TLB_SUPERVISOR_AC = 2
/** User with alignment checking on: never filled for reads and writes, so that every access takes the slow path. */
export const TLB_USER_ALIGNMENT = 3
export const TLB_CLASSES = 4

/** Which entry of a class an address has: bits 12–21 XOR bits 22–31. Generated code: src/engines/tlb-offset.ts. */
export const tlbIndex = (low: number): number => ((low >>> 12) ^ (low >>> 22)) & (TLB_ENTRIES - 1)
