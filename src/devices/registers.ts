/** Adapters between the access sizes of a bus and registers of one width, and small arithmetic of registers. */
import type { AccessSize, Bus, MmioHandler, PortHandler } from './bus.ts'

/** A device whose registers are bytes, one a port. */
export interface ByteRegisters {
  /** Reads the byte at an absolute port. */
  readByte(port: number): number
  /** Writes the byte at an absolute port. */
  writeByte(port: number, value: number): void
}

/**
 * Answers accesses of any size by bytes, low first, as the ISA bridge does for an 8-bit device. What of an access is
 * beyond the `count` ports from `first` reads as ones and is not written.
 */
export function byteRegisters(first: number, count: number, registers: ByteRegisters): PortHandler {
  const end = first + count
  return {
    readPort(port, size) {
      let value = 0
      for (let i = 0; i < size; i++) value |= (port + i < end ? registers.readByte(port + i) & 0xff : 0xff) << (8 * i)
      return value >>> 0
    },
    writePort(port, size, value) {
      for (let i = 0; i < size && port + i < end; i++) registers.writeByte(port + i, (value >>> (8 * i)) & 0xff)
    },
  }
}

/** Attaches byte registers to `count` ports from `first`. Throws if one is taken. */
export function attachBytes(bus: Bus, first: number, count: number, registers: ByteRegisters): void {
  bus.ports(first, count, byteRegisters(first, count, registers))
}

/** A device whose memory-mapped registers are 32 bits wide and aligned. */
export interface DwordRegisters {
  /** Reads the register at an offset that is a multiple of 4. */
  readDword(offset: number): number
  /** Writes the register at an offset that is a multiple of 4. */
  writeDword(offset: number, value: number): void
  /** Told of a write that is not aligned or narrower, which does nothing. */
  refuse?(offset: number, size: AccessSize): void
}

/** Answers narrower and unaligned reads with the lanes of the register, and takes only whole aligned writes. */
export function dwordRegisters(registers: DwordRegisters): MmioHandler {
  return {
    readMmio(offset, size) {
      const value = registers.readDword(offset - (offset & 3)) >>> (8 * (offset & 3))
      return maskTo(value, size)
    },
    writeMmio(offset, size, value) {
      if (size === 4 && (offset & 3) === 0) registers.writeDword(offset, value >>> 0)
      else registers.refuse?.(offset, size)
    },
  }
}

/** The low `size` bytes of a value, unsigned. */
export function maskTo(value: number, size: AccessSize): number {
  return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff)
}

/** Bit `bit` of `value` changed to `on`. For values of up to 32 bits. */
export function withBit(value: number, mask: number, on: boolean): number {
  return (on ? value | mask : value & ~mask) >>> 0
}

/** Two decimal digits as binary-coded decimal. */
export function toBcd(value: number): number {
  return ((Math.floor(value / 10) % 10) << 4) | (value % 10)
}

/** Binary-coded decimal to its value; digits above 9 count as they stand. */
export function fromBcd(value: number): number {
  return (value >> 4) * 10 + (value & 15)
}

/** A level as a wire of a machine that does not listen. */
export const NOWHERE = { set(_level: boolean): void {} }
