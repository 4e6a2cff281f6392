/**
 * The software TLB: for each access class 16384 direct-mapped entries, hashed so that buffers 64 MiB apart do not fight for one, that take a guest-virtual page straight to
 * guest RAM in memory 1. Generated code probes it inline: it compares the page of the access's last byte with the tag
 * of the entry for the page of the first, so that one comparison finds permission, presence and page crossing.
 *
 * An entry is 32 bytes:
 *   +0  i64 tag for reads: the linear address of the page, or NO_TAG
 *   +8  i64 tag for writes: likewise; only when the page is dirty in the page table and the frame can be written fast
 *   +16 i64 tag for instruction fetches
 *   +24 i32 address in memory 1 of the page, minus the low 32 bits of its linear address
 *   +28 i32 guest-physical frame number, and bits: TLB_GLOBAL, TLB_LARGE, TLB_LISTED_LOCAL, TLB_LISTED_GLOBAL
 *
 * Behind the entries lie two lists for each class, of the entries that were filled since they were last flushed: those of
 * pages of one address space and those of global ones. So a flush costs what was used, and a write of CR3 looks at no
 * global page.
 */
export const TLB_ENTRIES = 16384
export const TLB_ENTRY_SIZE = 32
export const TLB_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE
export const TLB_READ = 0
export const TLB_WRITE = 8
export const TLB_FETCH = 16
export const TLB_ADDEND = 24
export const TLB_FRAME = 28

/** Bits of the frame word: a page that survives a write of CR3; part of a page larger than 4 KiB. */
export const TLB_GLOBAL = 0x80000000 | 0
export const TLB_LARGE = 0x40000000
/** The entry stands in its class's list of global pages, in that of others. An entry may stand in both. */
export const TLB_LISTED_GLOBAL = 0x20000000
export const TLB_LISTED_LOCAL = 0x10000000
export const TLB_FRAME_MASK = 0x0fffffff

/** What a tag has of a linear address: the page. */
export const PAGE_MASK = 0xfffffffffffff000n
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

/** Which entry of a class an address has: bits 12–25 XOR bits 26–31. Generated code: src/engines/tlb-offset.ts. */
export const tlbIndex = (low: number): number => ((low ^ (low >>> 14)) >>> 12) & (TLB_ENTRIES - 1)

/** A list: how many entries stand in it, and the addresses of these in memory 0, a word each. */
export const TLB_LIST_SIZE = (TLB_ENTRIES + 1) * 4
/** Bytes of all lists: for each class that of pages of one address space, then that of global ones; and a word. */
export const TLB_LISTS_SIZE = TLB_CLASSES * 2 * TLB_LIST_SIZE + 4
/** Where a class's list lies within the lists. */
export const tlbList = (tlbClass: number, global: boolean): number => (tlbClass * 2 + (global ? 1 : 0)) * TLB_LIST_SIZE
/** The word behind the lists: a bit for each GiB (hashed) of which a large page's part is or was in the TLB. */
export const TLB_LARGE_PAGES = TLB_CLASSES * 2 * TLB_LIST_SIZE
