/** The descriptions of the commands that act on running machines. */
import type { CommandDescription } from './command.ts'
import { STATUS } from './ending.ts'

/** The word for a machine. */
export const NAME = { help: "The machine's name: what run --name gave it, or what was shown when it started." } as const

const DRIVE = { help: 'The drive: cdrom0, cdrom1 …, floppy0 or floppy1, as typetwo info lists them.' } as const

const JSON_OPTION = { help: 'Prints JSON, with sizes in bytes and times in seconds.' } as const

const FORCE = {
  help: 'Also where the guest has locked the drive, because it uses what is in. It may complain, or lose what it has not written.',
} as const

/** The exit statuses of commands that do something and are over. */
export const CONTROL_STATUS = {
  title: 'Exit status',
  lines: [
    `${STATUS.ok}  It was done.`,
    `${STATUS.failed}  It could not be done; standard error has a sentence that says why.`,
    `${STATUS.usage}  The words on the command line were wrong.`,
  ],
} as const

/** `typetwo ls` */
export const LS = {
  name: 'ls',
  summary: 'lists the running machines',
  options: { json: { help: 'Prints a JSON array of what typetwo info --json prints for each.' } },
  description: [
    'Lists your running machines: name, process, state (starting, running, paused), guest memory, CPU time that the process has used, how long ago it was started, and what it boots. A machine that does not answer is listed as such; what a killed one left behind is removed.',
  ],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo console` */
export const CONSOLE = {
  name: 'console',
  summary: 'attaches to a serial port of a running machine',
  words: { name: NAME },
  options: {
    port: {
      value: 'N',
      choices: ['1', '2', '3', '4'],
      help: 'The serial port, COM1 to COM4. Default: 1.',
    },
    idle: {
      value: 'SECONDS',
      example: '2',
      help: 'With piped input: ends when the input has ended and the guest has sent nothing for so long. Default: ends with the machine.',
    },
  },
  description: [
    'Shows what the guest sends from now on, beginning with what it sent while nobody listened (at most 64 KiB), and sends it what you type. Several may be attached to a port at the same time: all see the same, and the guest gets what any of them types. The place where the port leads otherwise, as run --serial says, stays connected.',
    'When standard input is a terminal, every key goes to the guest, Ctrl-C and Ctrl-Z too, except Ctrl-], which detaches; the machine runs on. When it is a pipe or file, its bytes are sent as the guest takes them, and its end does not detach.',
    'A reader that is slow slows the guest. One that takes nothing for a second loses what comes until it does.',
  ],
  sections: [
    {
      title: 'Examples',
      lines: [
        'typetwo console web1',
        'typetwo console web1 --port 2 </dev/null >com2.log',
        "printf 'uptime\\n' | typetwo console web1 --idle 2",
      ],
    },
    {
      title: 'Exit status',
      lines: [
        `${STATUS.ok}      you detached, the machine ended, or --idle was over`,
        `${STATUS.failed}      it could not be attached to; a sentence says why`,
        `${STATUS.usage}      the words on the command line were wrong`,
        `${STATUS.signal}+N  a signal ended it; ${STATUS.brokenPipe}: nobody read standard output any more`,
      ],
    },
  ],
} as const satisfies CommandDescription

/** `typetwo info` */
export const INFO = {
  name: 'info',
  summary: 'tells about a running machine',
  words: { name: NAME },
  options: { json: JSON_OPTION },
  description: [
    'Tells what a machine is made of, what it has used, what is in its drives, and where its ports lead. Dropped bytes of a port are what readers lost who took nothing for a second.',
  ],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo eject` */
export const EJECT = {
  name: 'eject',
  summary: 'takes the medium out of a drive',
  words: { name: NAME, drive: DRIVE },
  options: { force: FORCE },
  description: [
    'Presses the button of the drive. A guest that has locked it is asked, and may take five seconds to let go of what is in; when it does not, nothing happens.',
  ],
  sections: [{ title: 'Examples', lines: ['typetwo eject web1 cdrom0'] }, CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo insert` */
export const INSERT = {
  name: 'insert',
  summary: 'puts an image into a drive',
  words: { name: NAME, drive: DRIVE, file: { help: 'The image of a CD, DVD or floppy.' } },
  options: { readonly: { help: 'The floppy is write-protected. CDs always are.' }, force: FORCE },
  description: [
    'The image takes the place of what is in the drive, and the guest hears of it. A guest that has locked the drive is asked as with typetwo eject. When the image cannot be opened nothing happens.',
  ],
  sections: [
    { title: 'Examples', lines: ['typetwo insert web1 cdrom0 second.iso', 'typetwo insert dos floppy0 disk2.img'] },
    CONTROL_STATUS,
  ],
} as const satisfies CommandDescription

/** `typetwo power` */
export const POWER = {
  name: 'power',
  summary: 'turns a machine off, resets it, or presses its power button',
  words: {
    name: NAME,
    action: {
      choices: ['off', 'reset', 'press'],
      help: 'off ends the machine at once, as pulling the plug does: what the guest has not written is lost. reset presses the reset button: the guest starts again. press presses the power button: a guest that knows ACPI shuts down, another takes no notice.',
    },
  },
  options: {},
  description: ["off returns when the machine's process has ended, the others at once."],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo pause` */
export const PAUSE = {
  name: 'pause',
  summary: 'stops a machine until typetwo resume',
  words: { name: NAME },
  options: {},
  description: [
    'The guest executes nothing and its time stands still, until typetwo resume. A machine that is paused stays so when paused again.',
  ],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo resume` */
export const RESUME = {
  name: 'resume',
  summary: 'lets a paused machine go on',
  words: { name: NAME },
  options: {},
  description: ['The guest goes on where it was paused, and its clock with it. A machine that runs goes on running.'],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription
