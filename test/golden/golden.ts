/** The text of a golden file: guest code, and the WebAssembly that the translator makes of it. */
import {
  MODE_CODE_32,
  MODE_LONG,
  MODE_PROTECTED,
  MODE_SSE,
  MODE_STACK_32,
  MODE_TLB_SHIFT,
  MODE_USER,
  MODE_X87,
} from '../../src/cpu/mode.ts'
import { decodeMode } from '../../src/engines/interpreter/blocks.ts'
import { shapeOf, usageOf } from '../../src/engines/interpreter/handlers.ts'
import { FIRST_REGION } from '../../src/engines/interpreter/interpreter.ts'
import { takesSegmentChecks, type Usage } from '../../src/engines/semantics.ts'
import { functionText, listCode } from '../../src/engines/translator/listing.ts'
import { RegionPlan } from '../../src/engines/translator/plan.ts'
import { findRegion, SMALL } from '../../src/engines/translator/region.ts'
import { assembleRegion } from '../../src/engines/translator/template-region.ts'
import { Templates } from '../../src/engines/translator/templates.ts'
import { translateRegion } from '../../src/engines/translator/translate.ts'
import { usageInRegion } from '../../src/engines/translator/translator.ts'
import type { Decoded } from '../../src/isa/decoder.ts'
import { JOINED } from '../../src/memory/layout.ts'
import { TLB_USER } from '../../src/memory/tlb.ts'
import type { GoldenCase } from './cases.ts'

/** Where the code lies in its page. */
const START = 0x100
const PAGE = 4096

const UNITS = MODE_USER | MODE_X87 | MODE_SSE | (TLB_USER << MODE_TLB_SHIFT)
const MODES = { 32: MODE_PROTECTED | MODE_CODE_32 | MODE_STACK_32 | UNITS, 64: MODE_LONG | UNITS } as const

/** The golden file of a piece of guest code. */
export function goldenText({ name, bits, shows, code }: GoldenCase): string {
  const bytes = Buffer.from(code.replace(/ /g, ''), 'hex')
  const ram = new Uint8Array(PAGE)
  // What follows the code is no instruction of it.
  ram.fill(0xf4).set(bytes, START)
  const mode = MODES[bits]
  const info = decodeMode(mode)
  const usage = (decoded: Decoded): Usage | undefined =>
    usageInRegion(decoded, mode, () => {
      const segmented = takesSegmentChecks(info.segmented, info.mode, decoded.segment)
      return usageOf(shapeOf(decoded, info.mode, info.stackSize, segmented))
    })
  const host = {
    memory: { ram },
    usage,
    page: () => -1,
    isWarm: () => true,
    isCalledOften: () => false,
    warmIn: () => [],
  }
  const found = findRegion(host, START, info, SMALL)
  const plan = new RegionPlan(found, true)
  const { text, bytes: size } = functionText(translateRegion(name, plan, mode, info, FIRST_REGION, false, JOINED))
  const copied = assembleRegion(name, plan, mode, info, new Templates(JOINED), FIRST_REGION)
  if (!copied) throw new Error(`${name} is not made of templates`)
  const templates = functionText(copied)
  const listing = listCode(found, (distance, length) => bytes.subarray(distance, distance + length), 0n)
  const head = [
    `${name}: ${shows}`,
    '',
    ...listing,
    '',
    `${bits}-bit code, ${listing.length} instructions in ${bytes.length} bytes; ${size} bytes of WebAssembly`,
  ]
  const between = `;; Of templates: ${templates.bytes} bytes of WebAssembly`
  return `${head.map(line => `;; ${line}`.trimEnd()).join('\n')}\n${text}\n${between}\n${templates.text}`
}
