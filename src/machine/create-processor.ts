/** Makes the PC's processor: a vCPU, its engine and what CPUID says of them. */
import { ACTIVITIES, groupOf } from '../cpu/activity.ts'
import { services } from '../cpu/services/index.ts'
import { F } from '../cpu/state.ts'
import { Vcpu } from '../cpu/vcpu.ts'
import type { CodeStore } from '../engines/code-store.ts'
import { FIRST_REGION, Interpreter } from '../engines/interpreter/interpreter.ts'
import { KeptRegions } from '../engines/translator/kept-regions.ts'
import { DEFAULT_HEAT, Translator } from '../engines/translator/translator.ts'
import { CPU_MODELS, type CpuModel } from '../isa/cpu-models.ts'
import { makeCpuid } from '../isa/cpuid.ts'
import { instructionFeatures } from '../isa/features.ts'
import { instructions } from '../isa/index.ts'
import { applyBootState } from './boot/apply.ts'
import type { Processor, ProcessorOptions } from './processor.ts'

/** What the processor has besides instructions: paging, interrupts, timers, MSRs. */
const SYSTEM_FEATURES = [
  ...[
    'vme',
    'de',
    'pse',
    'pae',
    'mce',
    'mca',
    'apic',
    'mtrr',
    'pge',
    'pat',
    'pse36',
    'pcid',
    'x2apic',
    'tsc_deadline_timer',
  ],
  ...['arat', 'tsc_adjust', 'smep', 'erms', 'umip', 'la57', 'nx', 'pdpe1gb', 'nonstop_tsc', 'xgetbv1', 'hypervisor'],
]

const HYPERVISOR_FIRST = 0x40000000
const HYPERVISOR_LAST = 0x400000ff
const CR4_OSXSAVE = 1 << 18
const EFER_LMA = 1 << 10
const IA32_APIC_BASE = 0x1b
const APIC_ENABLE = 1 << 11

/** How often a block is interpreted before it is translated. */
const HEAT = { auto: DEFAULT_HEAT, translator: 1 } as const

/** KVM's hypercalls: a guest that sees KVM's signature may try them. None exists here: -KVM_ENOSYS, or -EPERM for users. */
function hypercall(cpu: Vcpu): boolean {
  cpu.setRegister(0, cpu.state.get32(F.cpl) === 0 ? -1000n : -1n)
  return true
}

/**
 * Makes a processor for a PC.
 * @param store where code is kept from one process to the next
 * @throws Error when the engine is not to be had
 */
export function createPcProcessor(options: ProcessorOptions, store?: CodeStore): Processor {
  const { machine, memory, hypervisorLeaves } = options
  const everything = [...SYSTEM_FEATURES, ...instructionFeatures(instructions)]
  const model: CpuModel | undefined = options.cpu === 'max' ? undefined : CPU_MODELS[options.cpu]
  const features = model ? everything.filter(feature => model.features.includes(feature)) : everything
  const leaves = makeCpuid(features, model)
  const hasHypervisor = features.includes('hypervisor')
  let vcpu: Vcpu | undefined
  const cpuid = (leaf: number, subleaf: number) => {
    if (hasHypervisor && leaf >= HYPERVISOR_FIRST && leaf <= HYPERVISOR_LAST)
      return hypervisorLeaves.get(leaf) ?? ([0, 0, 0, 0] as const)
    const state = vcpu?.state
    return leaves(leaf, subleaf, {
      osxsave: state !== undefined && (state.get32(F.cr4) & CR4_OSXSAVE) !== 0,
      // The vCPU asks for its signature while it is made, before the machine is connected.
      apic: !state || ((machine.readMsr(IA32_APIC_BASE)?.[0] ?? APIC_ENABLE) & APIC_ENABLE) !== 0,
      xcr0: state?.get32(F.xcr0) ?? 1,
      is64: state !== undefined && (state.get32(F.efer) & EFER_LMA) !== 0,
    })
  }
  const cpu = new Vcpu(memory, machine, { cpuid, random32: options.random32, hypercall })
  vcpu = cpu
  const engine = new Interpreter(cpu, store)
  // Where every block is translated at once, it is to be translated.
  const keeps = store && options.engine === 'auto' && options.guest !== undefined
  const name = `regions-${memory.size}-${memory.arena.limit}-${options.cpu}-${options.guest}`
  const kept = keeps ? new KeptRegions(store, name, engine.library, engine.table, memory, FIRST_REGION) : undefined
  const translator = options.engine === 'interpreter' ? undefined : new Translator(engine, HEAT[options.engine], kept)
  if (translator) translator.onTranslated = options.onTranslated
  if (kept) kept.onSave = () => engine.keepModules()
  let before = 0
  return {
    signals: cpu,
    engine,
    activity: cpu.activity,
    stateBase: cpu.state.base,
    registers: {
      get: number => Number(cpu.register(number) & 0xffffffffn),
      set: (number, value) => cpu.setRegister(number, value >>> 0),
    },
    activities: () => {
      const names = [...ACTIVITIES.map(({ name }) => name), ...Object.keys(services).map(name => `service ${name}`)]
      return names.map((name, i) => ({ name, group: groupOf(i), count: cpu.activity.counts[i] }))
    },
    instructions: () => before + engine.instructions,
    timestampOffset: () => cpu.state.get64(F.tscOffset),
    reset: () => {
      // The clock counts on, whatever the guest does to its processor.
      before += engine.instructions
      cpu.reset()
      engine.blocks.flush()
    },
    identification: () => {
      const [signature, , , low] = cpuid(1, 0)
      return [signature, low]
    },
    boot: state => applyBootState(cpu, state),
    keepCode: () => kept?.save(),
    stats: () => ({
      interpretedInstructions: engine.instructions - Number(cpu.state.get64(F.translatedInstructions)),
      translatedInstructions: Number(cpu.state.get64(F.translatedInstructions)),
      ...engine.statistics,
      ...translator?.statistics,
      ...kept?.statistics,
      decodedInstructions: engine.blocks.decodedInstructions,
      invalidations: engine.blocks.invalidations,
      flushes: engine.blocks.flushes,
      trims: engine.blocks.trims,
      trimmedBlocks: engine.blocks.trimmed,
      recordBytes: engine.blocks.recordBytes,
      modules: engine.library.statistics.modules,
      codeBytes: engine.library.statistics.bytes,
      compileMilliseconds: engine.library.statistics.milliseconds,
    }),
  }
}
