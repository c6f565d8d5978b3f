// Functions as compilers make them: what they begin and end with is what the inline recorder has to move.

        .arch   armv8.3-a
        .macro  begin name
        .balign 16
        .globl  \name
        .type   \name, %function
\name:  .cfi_startproc
        .endm
        .macro  end name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .text
        begin   plain
        add     x0, x0, x1
        ret
        end     plain

        begin   paged
        adrp    x0, datum
        add     x0, x0, :lo12:datum
        ldrb    w0, [x0, x1]
        ret
        end     paged

        begin   literal
        ldr     x0, 1f
        add     x0, x0, x1
        ret
1:      .quad   0x123456789abcdef0
        end     literal

        begin   conditional
        cbz     x0, 1f
        mov     x0, #11
        ret
1:      mov     x0, #22
        ret
        end     conditional

        begin   tested
        tbz     x0, #40, 1f
        mov     x0, #33
        ret
1:      mov     x0, #44
        ret
        end     tested

        begin   nesting                 // plain is a part of it
        paciasp
        stp     x29, x30, [sp, #-32]!
        str     x2, [sp, #16]
        bl      plain
        ldr     x2, [sp, #16]
        add     x0, x0, x2
        ldp     x29, x30, [sp], #32
        autiasp
        ret
        end     nesting

        begin   landed                  // what signs its return may check as it returns
        bti     c
        paciasp
        sub     x0, x0, x1
        retaa
        end     landed

        begin   filling                 // ends in a function that is everybody's
        mul     x2, x0, x1
        adrp    x0, filled
        add     x0, x0, :lo12:filled
        mov     w1, #0x55
        b       memset
        end     filling

        begin   storing
        str     x1, [x0]
        mov     w0, #0
        cbz     x1, 1f
        ret
1:      mov     w0, #12
        ret
        end     storing

        begin   becoming                // plain takes its place
        add     x1, x1, #1
        b       plain
        end     becoming

// kept(function, a, b, c): the registers that differ afterwards of those that a call keeps, or'ed together, with x18.
        begin   kept
        stp     x29, x30, [sp, #-112]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        mov     x9, x0
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        mov     x29, sp
        .irp    number, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
        mov     x\number, #\number
        .endr
        blr     x9
        mov     x10, sp
        eor     x9, x29, x10
        .irp    number, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
        mov     x10, #\number
        eor     x10, x10, x\number
        orr     x9, x9, x10
        .endr
        mov     x0, x9
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #112
        ret
        end     kept
