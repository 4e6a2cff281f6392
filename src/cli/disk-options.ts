/** The descriptions of `typetwo disk …`. */
import { FORMATS } from '../disk/format-names.ts'
import type { CommandDescription } from './command.ts'
import { CONTROL_STATUS } from './control-options.ts'

const FORMAT_HELP =
  'The format of the image. By default it is found out by content and name, which have to agree: a file that is named as ' +
  'raw images are (.img, .raw, .iso …) is raw, and one without the mark of a format needs this option to be raw, because a ' +
  'guest can give its raw disk any content.'

/** Options of every command that opens an image. */
const OPEN = {
  format: { value: 'FORMAT', choices: FORMATS, help: FORMAT_HELP },
  anywhere: {
    help: 'Lets the image name files (backing files, extents) outside of its own folder, which otherwise is refused.',
  },
} as const

/** Options of every command that makes an image. */
const MAKE = {
  kind: {
    value: 'KIND',
    example: 'streamOptimized',
    help:
      'What kind of image within its format. vmdk: monolithicSparse (default), monolithicFlat, twoGbMaxExtentSparse, ' +
      'twoGbMaxExtentFlat, and streamOptimized with disk convert; vdi: dynamic (default) or static; vhd and vhdx: dynamic ' +
      '(default) or fixed.',
  },
  'cluster-size': {
    value: 'SIZE',
    example: '64K',
    help: 'qcow2: bytes of a cluster, 512 to 2M, by default 64K. vhdx: bytes of a block, 1M to 256M, by default 2M.',
  },
  'qcow2-version': { value: 'VERSION', choices: ['3', '2'], help: 'qcow2: 3 by default; 2 for programs before 2011.' },
  'refcount-bits': {
    value: 'BITS',
    choices: ['16', '1', '2', '4', '8', '32', '64'],
    help: 'qcow2: bits of a reference count, by default 16.',
  },
  'lazy-refcounts': { help: 'qcow2: lets other programs write reference counts late.' },
  'extended-l2': { help: 'qcow2: divides clusters into 32 subclusters that are allocated each on its own.' },
  compression: { value: 'TYPE', choices: ['zlib', 'zstd'], help: 'qcow2: how clusters are compressed.' },
} as const

/** `typetwo disk create` */
export const DISK_CREATE = {
  name: 'disk create',
  summary: 'Makes an empty disk image.',
  words: { file: { help: 'The image to make. It must not be there yet.' } },
  options: {
    size: {
      value: 'SIZE',
      example: '10G',
      help: 'The size of the disk: a number and K, M, G or T. With --backing by default that of the backing file.',
    },
    format: {
      value: 'FORMAT',
      choices: FORMATS,
      help: 'The format to make. By default what the name ends with says, else qcow2.',
    },
    backing: {
      value: 'FILE',
      example: 'base.qcow2',
      help:
        'An image that shows wherever the new one was not written, and is itself never written (qcow2, vmdk, vhd). It has to ' +
        'lie in the folder of the new image or below it, and its name is noted relative to that.',
    },
    'backing-format': {
      value: 'FORMAT',
      choices: FORMATS,
      help: 'The format of the backing file. By default found out.',
    },
    anywhere: { help: 'Lets the backing file lie anywhere; whoever opens the image then has to allow that too.' },
    ...MAKE,
  },
  description: [
    'The image takes no more space than its tables need. The guest sees a disk of zeros, or what the backing file has.',
  ],
  sections: [
    {
      title: 'Examples',
      lines: [
        'typetwo disk create debian.qcow2 --size 20G',
        'typetwo disk create try.qcow2 --backing debian.qcow2',
        'typetwo disk create old.vmdk --size 2G --kind twoGbMaxExtentSparse',
      ],
    },
    CONTROL_STATUS,
  ],
} as const satisfies CommandDescription

/** `typetwo disk info` */
export const DISK_INFO = {
  name: 'disk info',
  summary: 'Says what a disk image is.',
  words: { file: { help: 'The image.' } },
  options: { json: { help: 'Prints one JSON object, with sizes in bytes.' }, ...OPEN },
  description: ['The image may be in use by others that read it, but not by one that writes it.'],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo disk convert` */
export const DISK_CONVERT = {
  name: 'disk convert',
  summary: 'Copies what a disk holds to a new image of any format.',
  words: {
    source: { help: 'The image to read, backing files included.' },
    target: { help: 'The image to make. It must not be there yet.' },
  },
  options: {
    ...OPEN,
    to: {
      value: 'FORMAT',
      choices: FORMATS,
      help: 'The format to make. By default what the name of the target ends with says, else qcow2.',
    },
    compress: { help: 'Compresses the new image (qcow2; of vmdk the kind streamOptimized always is).' },
    quiet: { help: 'Shows no progress.' },
    ...MAKE,
  },
  description: [
    'Zeros are not written, so that the new image is as small as its format allows. When it cannot be finished nothing of it ' +
      'is left.',
  ],
  sections: [
    {
      title: 'Examples',
      lines: [
        'typetwo disk convert debian.qcow2 debian.vmdk --kind streamOptimized',
        'typetwo disk convert disk.img small.qcow2 --compress --compression zstd',
      ],
    },
    CONTROL_STATUS,
  ],
} as const satisfies CommandDescription

/** `typetwo disk check` */
export const DISK_CHECK = {
  name: 'disk check',
  summary: 'Looks through an image for contradictions.',
  words: { file: { help: 'The image. Its backing files are not looked at.' } },
  options: {
    repair: {
      help: 'Sets right what can be: reference counts and flags of qcow2, the count of blocks of vdi. Where a qcow2 file lacks its end, what it lacks reads afterwards as if it had never been written.',
    },
    json: { help: 'Prints one JSON object.' },
    ...OPEN,
  },
  description: [
    'Images of every format but raw and other plain ones can be checked. An image that was in use when its program was ' +
      'killed needs no check: opening it for writing sets right what is to be.',
  ],
  sections: [
    {
      title: 'Exit status',
      lines: [
        '0  The image is right, or was repaired.',
        '1  It could not be checked; standard error has a sentence that says why.',
        '2  The words on the command line were wrong.',
        '3  It contradicts itself.',
        '4  Space in it is lost, and nothing else is wrong.',
      ],
    },
  ],
} as const satisfies CommandDescription

/** `typetwo disk resize` */
export const DISK_RESIZE = {
  name: 'disk resize',
  summary: "Changes a disk's size (raw, qcow2).",
  words: {
    file: { help: 'The image.' },
    size: { help: 'The new size: a number and K, M, G or T; with a + in front of it, how much is added.' },
  },
  options: { shrink: { help: 'Allows a smaller size. What lies behind it is gone.' }, ...OPEN },
  description: ['What is new reads as zeros. The partitions on the disk stay as they are.'],
  sections: [{ title: 'Examples', lines: ['typetwo disk resize debian.qcow2 +10G'] }, CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo disk snapshot` */
export const DISK_SNAPSHOT = {
  name: 'disk snapshot',
  summary: 'Keeps states of a disk, and returns to them (qcow2).',
  words: {
    action: {
      choices: ['list', 'create', 'apply', 'delete'],
      help: 'create keeps what the disk holds now; apply makes the disk what it was; delete forgets a snapshot; list names all.',
    },
    file: { help: 'The image.' },
    name: { isOptional: true, help: 'Of the snapshot, for all but list.' },
  },
  options: { json: { help: 'list: prints a JSON array, with sizes in bytes and dates in ISO 8601.' }, ...OPEN },
  description: ['A snapshot takes space only for what is written after it.'],
  sections: [CONTROL_STATUS],
} as const satisfies CommandDescription
