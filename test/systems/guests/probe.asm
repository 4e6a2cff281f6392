; A floppy or disk that tells on COM1 what a PC's BIOS, ports and buses answer: each line is the question and the answer, so that two
; machines can be compared. Everything is what systems of the last forty years ask for when they start.
        bits 16
        org 7c00h
SECTORS equ 12

        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 7c00h
        sti
        cld
        mov [drive], dl
        ; The rest of the program, sector by sector.
        mov word [number], 2
        mov bx, 7e00h
.load:  mov ax, 0201h
        mov cx, [number]
        xor dh, dh
        mov dl, [drive]
        int 13h
        jc .load
        add bx, 512
        inc word [number]
        cmp word [number], SECTORS + 2
        jb .load
        jmp main

drive:  db 0
number: dw 0
        times 510-($-$$) db 0
        dw 0aa55h

; --- Writing to COM1.
putc:   push dx
        push ax
.wait:  mov dx, 3fdh
        in al, dx
        test al, 20h
        jz .wait
        pop ax
        mov dx, 3f8h
        out dx, al
        pop dx
        ret
line:   push ax
        mov al, 13
        call putc
        mov al, 10
        call putc
        pop ax
        ret
space:  push ax
        mov al, ' '
        call putc
        pop ax
        ret
digit:  and al, 15
        add al, '0'
        cmp al, '9'
        jbe putc
        add al, 'a'-'9'-1
        jmp putc
byteh:  push ax
        push ax
        shr al, 4
        call digit
        pop ax
        call digit
        pop ax
        ret
word_:  xchg al, ah
        call byteh
        xchg al, ah
        jmp byteh
dword_: push eax
        shr eax, 16
        call word_
        pop eax
        jmp word_
; Text behind the call, to a zero.
say:    pop si
.next:  cs lodsb
        or al, al
        jz .end
        call putc
        jmp .next
.end:   jmp si
; All registers as an interrupt left them.
regs:   pushf
        push eax
        push eax
        mov al, ' '
        call putc
        pop eax
        call dword_
        call space
        mov eax, ebx
        call dword_
        call space
        mov eax, ecx
        call dword_
        call space
        mov eax, edx
        call dword_
        call space
        pop eax
        popf
        mov al, 'c'
        jc .carry
        mov al, '-'
.carry: call putc
        jmp line

%macro int_ 4-6 0, 0            ; interrupt, EAX, text, EBX, ECX, EDX
        call say
        db %3, 0
        mov eax, %2
        mov ebx, %4
        mov ecx, %5
        mov edx, %6
        int %1
        call regs
%endmacro

%macro port 1
        call say
        db 'port ', 0
        mov ax, %1
        call word_
        call space
        mov dx, %1
        in al, dx
        call byteh
        call line
%endmacro

; CX bytes at ES:DI.
dump:   mov al, [es:di]
        call byteh
        inc di
        loop dump
        jmp line

main:
        call say
        db 13, 10, 'probe', 13, 10, 0
        call say
        db 'cr0 ', 0
        mov eax, cr0
        call dword_
        call line
        int_ 11h, 0, 'int 11', 0
        int_ 12h, 0, 'int 12', 0
        int_ 15h, 8800h, 'int 15 88', 0
        int_ 15h, 0e801h, 'int 15 e801', 0
        int_ 15h, 0e881h, 'int 15 e881', 0
        int_ 15h, 0da88h, 'int 15 da88', 0
        int_ 15h, 8a00h, 'int 15 8a', 0
        int_ 15h, 0c100h, 'int 15 c1', 0
        int_ 15h, 0c200h, 'int 15 c200', 0
        int_ 15h, 2400h, 'int 15 2400', 0
        int_ 15h, 2402h, 'int 15 2402', 0
        int_ 15h, 2401h, 'int 15 2401', 0
        int_ 15h, 2402h, 'int 15 2402', 0
        int_ 15h, 2403h, 'int 15 2403', 0
        int_ 15h, 5300h, 'int 15 5300', 0
        int_ 15h, 5304h, 'int 15 5304', 0
        int_ 15h, 5301h, 'int 15 5301', 0
        int_ 15h, 530eh, 'int 15 530e', 0, 0102h
        int_ 15h, 5307h, 'int 15 5307', 1, 0
        int_ 15h, 530ah, 'int 15 530a', 1
        int_ 15h, 5304h, 'int 15 5304', 0
        int_ 15h, 0e980h, 'int 15 e980', 0
        int_ 15h, 4100h, 'int 15 41', 0
        int_ 15h, 0ec00h, 'int 15 ec00', 2
        int_ 15h, 0c0h*256, 'int 15 c0', 0
        mov ah, 0c0h
        int 15h
        jc .noconf
        call say
        db 'configuration ', 0
        mov di, bx
        mov cx, 10
        call dump
.noconf:
        xor ax, ax
        mov es, ax
        ; The memory map.
        xor ebx, ebx
.map:   mov eax, 0e820h
        mov edx, 534d4150h
        mov ecx, 24
        mov di, 1000h
        int 15h
        jc .mapped
        push ebx
        call say
        db 'e820 ', 0
        mov eax, [1004h]
        call dword_
        mov eax, [1000h]
        call dword_
        call space
        mov eax, [100ch]
        call dword_
        mov eax, [1008h]
        call dword_
        call space
        mov eax, [1010h]
        call dword_
        call line
        pop ebx
        or ebx, ebx
        jnz .map
.mapped:
        int_ 10h, 0f00h, 'int 10 0f', 0
        int_ 10h, 1a00h, 'int 10 1a', 0
        int_ 10h, 1200h, 'int 10 12', 10h
        int_ 14h, 0300h, 'int 14 03', 0
        int_ 16h, 0100h, 'int 16 01', 0
        int_ 16h, 0200h, 'int 16 02', 0
        int_ 16h, 0900h, 'int 16 09', 0
        int_ 17h, 0200h, 'int 17 02', 0
        int_ 1ah, 0b101h, 'int 1a b101', 0, 0, 0
        int_ 1ah, 0b103h, 'int 1a b103', 0, 60000h, 0
        int_ 1ah, 0b102h, 'int 1a b102', 0, 1237h, 8086h
        int_ 13h, 0800h, 'int 13 08 00', 0, 0, 0
        int_ 13h, 1500h, 'int 13 15 00', 0, 0, 0
        int_ 13h, 1600h, 'int 13 16 00', 0, 0, 0
        int_ 13h, 0800h, 'int 13 08 80', 0, 0, 80h
        int_ 13h, 1500h, 'int 13 15 80', 0, 0, 80h
        int_ 13h, 1000h, 'int 13 10 80', 0, 0, 80h
        int_ 13h, 4100h, 'int 13 41 80', 55aah, 0, 80h
        int_ 13h, 4100h, 'int 13 41 e0', 55aah, 0, 0e0h
        xor ax, ax
        mov es, ax
        mov di, 1000h
        mov cx, 0x42
        rep stosb
        mov word [1000h], 0x42
        mov si, 1000h
        mov ax, 4800h
        mov dx, 80h
        int 13h
        jc .noext
        call say
        db 'int 13 48 80 ', 0
        mov di, 1000h
        mov cx, 0x42
        call dump
.noext:
        ; What the BIOS keeps in its data area, without clocks and buffers.
        call say
        db 'bda ', 0
        mov di, 400h
        mov cx, 17h
        call dump
        call say
        db 'bda 40 ', 0
        mov di, 475h
        mov cx, 12
        call dump
        ; Signatures between E0000h and FFFFFh.
        mov word [number], 0e000h
.scan:  mov ax, [number]
        mov es, ax
        mov eax, [es:0]
        mov di, signatures
.sign:  cmp dword [di], 0
        je .none
        cmp eax, [di]
        je .found
        add di, 4
        jmp .sign
.found: push eax
        call say
        db 'signature ', 0
        pop eax
        mov cx, 4
.chars: call putc
        ror eax, 8
        loop .chars
        call line
.none:  inc word [number]
        jnz .scan
        xor ax, ax
        mov es, ax

        port 020h
        port 021h
        port 0a0h
        port 0a1h
        port 4d0h
        port 4d1h
        port 008h
        port 0d0h
        port 00fh
        port 0deh
        port 080h
        port 081h
        port 087h
        port 064h
        port 092h
        port 061h
        port 0b2h
        port 0b3h
        port 0cf9h
        port 0f0h
        port 096h
        port 094h
        port 100h
        port 201h
        port 203h
        port 226h
        port 22ah
        port 22ch
        port 22eh
        port 330h
        port 331h
        port 388h
        port 279h
        port 0a79h
        port 240h
        port 300h
        port 31fh
        port 320h
        port 360h
        port 170h
        port 171h
        port 172h
        port 173h
        port 174h
        port 175h
        port 176h
        port 177h
        port 376h
        port 1f1h
        port 1f2h
        port 1f3h
        port 1f4h
        port 1f5h
        port 1f6h
        port 1f7h
        port 3f6h
        port 1e8h
        port 168h
        port 3f0h
        port 3f1h
        port 3f2h
        port 3f3h
        port 3f4h
        port 3f5h
        port 3f7h
        port 3f9h
        port 3fah
        port 3fbh
        port 3fch
        port 3fdh
        port 3feh
        port 2f9h
        port 2fah
        port 2fdh
        port 2feh
        port 3e9h
        port 3edh
        port 2e9h
        port 2edh
        port 378h
        port 379h
        port 37ah
        port 278h
        port 279h
        port 3bch
        port 3b4h
        port 3b5h
        port 3bah
        port 3c2h
        port 3cch
        port 3d4h
        port 3d5h
        port 3dah
        port 0c80h
        port 0cf8h
        port 0a20h
        port 5658h
        ; The counters' modes, by read-back.
        mov al, 0eeh
        out 43h, al
        call say
        db 'pit ', 0
        in al, 40h
        call byteh
        in al, 41h
        call byteh
        in al, 42h
        call byteh
        call line
        ; CMOS, without the time.
        mov bl, 10
.cmos:  call say
        db 'cmos ', 0
        mov al, bl
        call byteh
        call space
        mov al, bl
        out 70h, al
        in al, 71h
        call byteh
        call line
        inc bl
        cmp bl, 80h
        jne .cmos
        ; The keyboard controller.
        mov al, 20h
        call kbc
        mov al, 0c0h
        call kbc
        mov al, 0d0h
        call kbc
        mov al, 0aah
        call kbc
        mov al, 0abh
        call kbc
        mov al, 0a9h
        call kbc
        ; PCI, function by function.
        mov ebx, 80000000h
.pci:   mov eax, ebx
        mov dx, 0cf8h
        out dx, eax
        mov dx, 0cfch
        in eax, dx
        cmp ax, 0ffffh
        je .nopci
        call say
        db 'pci ', 0
        push ebx
        shr ebx, 8
        mov ax, bx
        call word_
        pop ebx
        mov cx, 16
        push ebx
.config:
        mov eax, ebx
        mov dx, 0cf8h
        out dx, eax
        mov dx, 0cfch
        in eax, dx
        call space
        call dword_
        add ebx, 4
        loop .config
        pop ebx
        call line
.nopci: add ebx, 100h
        cmp ebx, 80010000h
        jb .pci
        ; The processor.
        mov dword [1000h], 0
.cpuid: mov eax, [1000h]
        xor ecx, ecx
        call say
        db 'cpuid ', 0
        mov eax, [1000h]
        call dword_
        xor ecx, ecx
        cpuid
        call regs
        inc dword [1000h]
        cmp dword [1000h], 0eh
        jb .cpuid
        jne .ext
        mov dword [1000h], 80000000h
        jmp .cpuid
.ext:   cmp dword [1000h], 80000009h
        jb .cpuid
        call say
        db 'end of probe', 13, 10, 0
        mov al, 1
        out 0f4h, al
        ; APM: off.
        mov ax, 5307h
        mov bx, 1
        mov cx, 3
        int 15h
.halt:  cli
        hlt
        jmp .halt

kbc:    cli
        push ax
        call say
        db '8042 ', 0
        pop ax
        call byteh
        call space
        call kbcwait
        out 64h, al
        mov cx, 0
.full:  in al, 64h
        test al, 1
        jnz .there
        loop .full
.there: in al, 60h
        call byteh
        sti
        jmp line
kbcwait:
        push ax
.wait:  in al, 64h
        test al, 2
        jnz .wait
        pop ax
        ret

signatures:
        db '$PnP', '_32_', '_SM_', '_DMI', 'RSD ', '$PIR', '_MP_', 'PCMP', '_SM3', '$BIO'
        dd 0
        times (SECTORS + 1) * 512 - ($ - $$) db 0
