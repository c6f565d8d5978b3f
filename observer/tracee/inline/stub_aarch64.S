// The recorder that runs inside the program, as stub.S has it, on AArch64.
//
// A function's first instruction is exchanged for a jump to a landing of its own, which puts the address of a descriptor
// into x17 and jumps to `enter`; each RET is exchanged for one that goes to `leave`. Neither touches the program's
// stack. At an entry x0 to x2 are arguments, at an end x0 and x1 results, on the way to another function x0 to x8 are
// its arguments: none of these is written to, nor x18, nor x30. x9 to x17 and the flags hold nothing that outlasts a
// call's beginning or its end (AAPCS64, 6.1.1). Descriptors, records and the block of a thread are those of stub.S.

        .set RESUME, 0                  // descriptor
        .set THROUGH, 8
        .set HOME, 8                    //   and its length
        .set LIBC, 24                   //   and its length
        .set FUNCTION_NUMBER, 40
        .set TAILS, 48
        .set SLOW, 56
        .set ENTRY, 64
        .set OPERATION, 72
        .set SAVED, 80                  //   from the stack pointer at its entry to where it keeps x30; 0: nobody knows
        .set MASK, 88                   //   the bits of an address, without those of a signature

        .set STATE, 0                   // block of a thread
        .set LIMIT, 8
        .set IS_SLOW, 16
        .set OPEN_BEGAN, 48             //   and OPEN_STACK
        .set OPEN_STACK, 56
        .set OPEN_TAILS, 72             //   TAILS and SAVED of the open call's function
        .set OPEN_A2, 88
        .set INTERNAL, 104
        .set PIECE, 112                 //   and its limit
        .set STACK, 128                 //   and how many
        .set STACK_END, 144

        .set A0, 0                      // record
        .set RESULT, 16
        .set RETURNS_TO, 24             //   and SP
        .set SP, 32
        .set FUNCTION, 40               //   and INNER, 32 bits each
        .set INNER, 44
        .set BEGAN, 48                  //   of its second one, and when it ended
        .set A2, 64                     //   and where its piece of stack is
        .set IS_MORE, 88
        .set BOTH_BYTES, 96

        .set PIECE_HEAD, 32             // piece of stack: its length, sp, x29, x30, and the bytes
#ifndef STACK_BYTES
#define STACK_BYTES 3072
#endif
        .set PIECE_BYTES, STACK_BYTES

        .set NEAR, 2048
        .set SLOT_BITS, 12

        .text
        .globl _start
_start:
marks:  .word   enter, leave, tail, help, gate, name, sample
        .word   filled, opened
        .word   nested, counted
        .word   timed, closed           // no register but x9 to x16 differs between them
        .word   interned, interned, interned    // it reads the clock each time
        .balign 8
table:  .quad   0
ranges: .fill   2 * 17, 8, 0

        .macro  find_block missing      // leads to x10
        mrs     x9, tpidr_el0
        ldr     x10, table
        add     x11, x9, #1
        ubfx    x9, x9, #12, #SLOT_BITS
        add     x10, x10, x9, lsl #4
1:      ldr     x12, [x10]
        cmp     x12, x11
        b.eq    2f
        cbz     x12, \missing
        add     x10, x10, #16
        b       1b
2:      ldr     x10, [x10, #8]
        .endm

        .macro  go_on                   // where it begins, all is done
        ldr     x16, [x17, #RESUME]
        br      x16
        .endm

help:   brk     #0

name:   .asciz  "malloc observer"
        .balign 4

gate:   svc     #0

enter:  find_block help
        ldr     x9, [x10, #IS_SLOW]
        cbnz    x9, slow
        ldp     x11, x9, [x10, #STATE]
        tbnz    x11, #0, nested
        cmp     x11, x9
        b.hs    help
        stp     x0, x1, [x11, #A0]
        str     x2, [x10, #OPEN_A2]
filled: ldr     x9, [x17, #MASK]
        and     x16, x30, x9
        mov     x9, sp
        stp     x16, x9, [x11, #RETURNS_TO]
        ldr     w12, [x17, #FUNCTION_NUMBER]
        orr     w12, w12, #1 << 30      // HAS_MORE: a time that was read
        str     x12, [x11, #FUNCTION]
        str     xzr, [x10, #OPEN_STACK]
        ldr     x12, [x17, #TAILS]
        ldr     x13, [x17, #SAVED]
        stp     x12, x13, [x10, #OPEN_TAILS]
        ldp     x12, x13, [x17, #HOME]
        sub     x12, x16, x12
        cmp     x12, x13
        b.hs    2f
        ldr     w12, [x16, #-4]
        lsr     w13, w12, #26
        cmp     w13, #0x25              // BL, of this function
        b.ne    2f
        sbfx    x12, x12, #0, #26
        add     x12, x16, x12, lsl #2
        sub     x12, x12, #4
        ldr     x13, [x17, #ENTRY]
        cmp     x12, x13
        b.eq    internal
2:      ldp     x12, x13, [x17, #LIBC]
        sub     x12, x16, x12
        cmp     x12, x13
        b.hs    4f
        adr     x12, ranges - 16
5:      ldr     x13, [x12, #16]!
        cbz     x13, 4f
        sub     x13, x16, x13
        ldr     x14, [x12, #8]
        cmp     x13, x14
        b.hs    5b
        ldp     x12, x13, [x10, #STACK]
        sub     x12, x9, x12
        cmp     x12, x13
        b.hs    help
        ldp     x12, x13, [x10, #PIECE]
        cmp     x12, x13
        b.eq    help
        ldr     x13, [x10, #STACK_END]
        sub     x13, x13, x9
        mov     x14, #PIECE_BYTES
        cmp     x13, x14
        csel    x13, x13, x14, lo
        and     x13, x13, #~15
        stp     x13, x9, [x12]
        stp     x29, x16, [x12, #16]
        add     x13, x13, x9
        add     x14, x12, #PIECE_HEAD
3:      ldp     x15, x16, [x9], #16
        stp     x15, x16, [x14], #16
        cmp     x9, x13
        b.lo    3b
        str     x12, [x10, #OPEN_STACK]
        add     x12, x12, #PIECE_HEAD
        add     x12, x12, #PIECE_BYTES
        str     x12, [x10, #PIECE]
4:      mrs     x9, cntvct_el0
        str     x9, [x10, #OPEN_BEGAN]
        orr     x11, x11, #1
        str     x11, [x10, #STATE]
opened: go_on

internal:
        ldr     x9, [x10, #INTERNAL]
        add     x9, x9, #1
        str     x9, [x10, #INTERNAL]
interned:
        go_on

// A call inside an open one, if it lies a little deeper on the stack and what that returns to still stands where it is
// kept; or one that takes its place, if its function may.
nested: sub     x11, x11, #1
        ldp     x16, x9, [x11, #RETURNS_TO]
        mov     x12, sp
        subs    x13, x9, x12
        b.eq    2f
        cmp     x13, #NEAR
        b.hs    slow
        ldr     x13, [x10, #OPEN_TAILS + 8]
        cbz     x13, slow
        add     x13, x13, x9
        cmp     x13, x12
        b.lo    slow                    // it has left that frame
        ldr     x12, [x13]
        b       3f
2:      ldr     x12, [x10, #OPEN_TAILS]
        ldr     x13, [x17, #OPERATION]
        tst     x12, x13
        b.eq    slow
        mov     x12, x30
3:      ldr     x13, [x17, #MASK]
        and     x12, x12, x13
        cmp     x12, x16
        b.ne    slow
        ldr     w12, [x11, #INNER]
        add     w12, w12, #1
        str     w12, [x11, #INNER]
counted:
        go_on

slow:   ldr     x16, [x17, #SLOW]
        br      x16

leave:  find_block slow
        ldr     x9, [x10, #IS_SLOW]
        cbnz    x9, slow
        ldr     x11, [x10, #STATE]
        tbz     x11, #0, closed
        sub     x11, x11, #1
        ldr     x9, [x11, #SP]
        mov     x12, sp
        cmp     x9, x12
        b.ne    closed
        mov     x12, x0
        ldr     w9, [x11, #FUNCTION]
        tbz     w9, #31, 2f
        mov     x12, #0
        cbnz    w0, 2f
        ldr     x9, [x11, #A0]
        ldr     x12, [x9]
2:      str     x12, [x11, #RESULT]
timed:  mrs     x9, cntvct_el0
        ldp     x12, x14, [x10, #OPEN_BEGAN]
        ldr     x13, [x10, #OPEN_A2]
        stp     x12, x9, [x11, #BEGAN]
        stp     x13, x14, [x11, #A2]
        mov     w9, #-1
        str     w9, [x11, #IS_MORE]
        add     x11, x11, #BOTH_BYTES
        stlr    x11, [x10]              // STATE: who finds it so finds the record whole
closed: go_on

// A function ends by a jump to another's code: if an open call ends so, it is made a call, to come by its end.
tail:   find_block slow
        ldr     x9, [x10, #IS_SLOW]
        cbnz    x9, slow
        ldr     x11, [x10, #STATE]
        tbz     x11, #0, closed
        sub     x11, x11, #1
        ldr     x9, [x11, #SP]
        mov     x12, sp
        cmp     x9, x12
        b.ne    closed
        ldr     x16, [x17, #THROUGH]
        br      x16

// int64_t at[3] = counter, clock, counter: called by the observer in itself as sample(clock_gettime, at). What it has
// read of others' records before comes before what it reads behind.
sample: stp     x29, x30, [sp, #-48]!
        stp     x19, x20, [sp, #16]
        mov     x19, x0
        mov     x20, x1
        dmb     ish
        isb
        mrs     x9, cntvct_el0
        str     x9, [x20]
        mov     w0, #1                  // CLOCK_MONOTONIC
        add     x1, sp, #32
        blr     x19
        isb
        mrs     x9, cntvct_el0
        str     x9, [x20, #16]
        ldp     x9, x10, [sp, #32]
        mov     x11, #0xca00            // 1,000,000,000
        movk    x11, #0x3b9a, lsl #16
        madd    x9, x9, x11, x10
        str     x9, [x20, #8]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #48
        ret
