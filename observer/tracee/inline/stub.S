# The recorder that runs inside the program: what is done where a watched function is entered, and where it ends.
#
# A function's first instructions are exchanged for a jump to a landing of its own, which puts the address of a
# descriptor into %r11 and jumps to `enter`; what stands before each `ret` is exchanged for one that goes to `leave`.
# Neither touches the program's stack. At an entry %rdi, %rsi and %rdx are arguments, and kept; %rax, %rcx and %r8 to %r11
# hold nothing that a function may rely on that has no fourth argument. At an end %rax and %rdx are kept, %rcx and %r8 to
# %r11 belong to nobody (System V ABI, AMD64 supplement, 3.2.1).
#
# What is done until a call is open, or closed, is done again from its landing when a signal comes before that: the marks
# tell the observer where.

        .set RESUME, 0                  # descriptor: where to go on
        .set THROUGH, 8                 #   of a jump that ends a function: where it is made a call
        .set HOME, 8                    #   code whose direct calls of this function are its library's own business
        .set HOME_LENGTH, 16
        .set LIBC, 24                   #   what spans all code whose callers are looked for in a piece of stack
        .set LIBC_LENGTH, 32
        .set FUNCTION_NUMBER, 40        #   32 bits: the highest says that it stores its result at %rdi, the next HAS_MORE
        .set TAILS, 48                  #   a bit for each operation whose function it may end by jumping to
        .set SLOW, 56                   #   an int3 in front of RESUME
        .set ENTRY, 64
        .set OPERATION, 72              #   the bit of its own operation

        # What each call touches lies in the first two lines of 64 bytes.
        .set STATE, 0                   # block of a thread: its next record, | 1 while a call is open
        .set LIMIT, 8                   #   from there on no two records may be written
        .set IS_SLOW, 16                #   whether its calls are followed from outside
        .set ALWAYS, 24                 #   whether the clock is read each time
        .set WISH, 32                   #   what asks for a reading: 1, time that has passed; 2, something happened
        .set SEEN, 40                   #   what HEAD led to when it was read last
        .set OPEN_BEGAN, 48             #   of the open call: what its second record will say
        .set OPEN_STACK, 56
        .set HEAD, 64                   #   where a word is that grows with each page fault of the thread
        .set OPEN_TAILS, 72             #   TAILS of the open call's function
        .set OPEN_A2, 88
        .set INTERNAL, 104              #   calls that a library made to itself
        .set PIECE, 112                 #   the next piece of stack
        .set PIECE_LIMIT, 120
        .set STACK, 128                 #   stack that is known to be there: the lowest pointer, how many, their end
        .set STACK_SPAN, 136
        .set STACK_END, 144

        .set A0, 0                      # record
        .set A1, 8
        .set RESULT, 16
        .set RETURNS_TO, 24
        .set SP, 32
        .set FUNCTION, 40
        .set INNER, 44
        .set RECORD_BYTES, 48
        .set BEGAN, 48                  #   behind it a second one, which is kept where it says something
        .set ENDED, 56
        .set A2, 64
        .set STACK_PIECE, 72
        .set IS_MORE, 88                #   all ones there say that it is such
        .set HAS_MORE, 1 << 30          #   this bit of FUNCTION, that it follows

        .set PIECE_HEAD, 32             # piece of stack: its length, %rsp, %rbp, %rbx, and the bytes
#ifndef STACK_BYTES
#define STACK_BYTES 3072
#endif
        .set PIECE_BYTES, STACK_BYTES

        .set NEAR, 2048                 # so deep below a call lie those that its allocator makes itself
        .set SLOTS, 4096                # of the table: two words each, %fs base + 1 and the block

        .text
        .globl _start
_start:
marks:  .long   enter, leave, tail, help, gate, name, sample
        .long   filled, opened          # from the first on, arguments are kept; up to the second, begin again
        .long   nested, counted         # between these, begin again
        .long   timed, closed           # from the first on, results are in %rcx and %r9; up to the second, begin again
        .long   interned, unclocked, unread     # here, and where the above end, all is done
        .balign 8
table:  .quad   0
ranges: .fill   2 * 17, 8, 0            # that code: beginnings and lengths; a beginning of 0 ends them

# The clock is read where it is asked for, or where a page fault may have been since it was read: a time of 0 says that
# nothing that is recorded lies between it and the time before. Who grows is read before who asks: what the observer
# asks at a stop is never overlooked.
        .set HAPPENED, 62               # the bit of a time that says that something may have

        .macro  growth scratch, grown
        mov     HEAD(%r10), \scratch
        mov     (\scratch), \grown
        sub     SEEN(%r10), \grown
        .endm

# Leaves 1 << HAPPENED in \grown unless \wish, what asks and what has grown, is a matter of time alone.
        .macro  noticed wish, grown
        add     \grown, SEEN(%r10)
        xor     \grown, \grown
        cmp     $1, \wish
        je      1f
        bts     $HAPPENED, \grown
1:      movq    $0, WISH(%r10)
        .endm

# Writes the second record; as its end %r9, 0 or what the time there will be added to.
        .macro  second scratch
        orl     $HAS_MORE, FUNCTION(%r8)
        movl    $-1, IS_MORE(%r8)
        mov     OPEN_BEGAN(%r10), \scratch
        mov     \scratch, BEGAN(%r8)
        mov     %r9, ENDED(%r8)
        mov     OPEN_A2(%r10), \scratch
        mov     \scratch, A2(%r8)
        mov     OPEN_STACK(%r10), \scratch
        mov     \scratch, STACK_PIECE(%r8)
        .endm

        .macro  find_block scratch, key, missing
        rdfsbase \scratch
        mov     table(%rip), %r10
        lea     1(\scratch), \key
        shr     $12, \scratch
        and     $SLOTS - 1, \scratch
        shl     $4, \scratch
        add     \scratch, %r10
1:      cmp     \key, (%r10)
        je      2f
        cmpq    $0, (%r10)
        je      \missing
        add     $16, %r10
        jmp     1b
2:      mov     8(%r10), %r10
        .endm

help:   int3                            # the observer has a look, and begins again

name:   .asciz  "malloc observer"       # of the memory that is shared

gate:   syscall                         # lent to calls that the observer makes in the program's place

enter:  find_block %rax, %rcx, help
        cmpl    $0, IS_SLOW(%r10)
        jne     slow
        mov     STATE(%r10), %rax
        test    $1, %al
        jne     nested
        cmp     LIMIT(%r10), %rax
        jae     help
        mov     %rdi, A0(%rax)
        mov     %rsi, A1(%rax)
        mov     %rdx, OPEN_A2(%r10)
filled: mov     (%rsp), %rcx
        mov     %rcx, RETURNS_TO(%rax)
        mov     %rsp, SP(%rax)
        mov     FUNCTION_NUMBER(%r11), %r8d
        mov     %r8, FUNCTION(%rax)     # and no inner calls
        mov     TAILS(%r11), %r8
        mov     %r8, OPEN_TAILS(%r10)
        movq    $0, OPEN_STACK(%r10)
        mov     %rcx, %r8
        sub     HOME(%r11), %r8
        cmp     HOME_LENGTH(%r11), %r8
        jae     2f
        cmpb    $0xe8, -5(%rcx)         # call rel32, of this function
        jne     2f
        movslq  -4(%rcx), %r8
        add     %rcx, %r8
        cmp     ENTRY(%r11), %r8
        je      internal
2:      mov     %rcx, %r8
        sub     LIBC(%r11), %r8
        cmp     LIBC_LENGTH(%r11), %r8
        jae     4f
        lea     ranges - 16(%rip), %r9
5:      add     $16, %r9
        cmpq    $0, (%r9)
        je      4f
        mov     %rcx, %r8
        sub     (%r9), %r8
        cmp     8(%r9), %r8
        jae     5b
        mov     %rsp, %rcx
        sub     STACK(%r10), %rcx
        cmp     STACK_SPAN(%r10), %rcx
        jae     help
        mov     PIECE(%r10), %r8
        cmp     PIECE_LIMIT(%r10), %r8
        je      help
        mov     STACK_END(%r10), %rcx
        sub     %rsp, %rcx
        cmp     $PIECE_BYTES, %rcx
        jbe     3f
        mov     $PIECE_BYTES, %ecx
3:      mov     %rcx, (%r8)
        mov     %rsp, 8(%r8)
        mov     %rbp, 16(%r8)
        mov     %rbx, 24(%r8)
        mov     %rsp, %rsi
        lea     PIECE_HEAD(%r8), %rdi
        rep movsb
        mov     A0(%rax), %rdi
        mov     A1(%rax), %rsi
        mov     %r8, OPEN_STACK(%r10)
        add     $PIECE_HEAD + PIECE_BYTES, %r8
        mov     %r8, PIECE(%r10)
4:      mov     %rax, %rcx
        xor     %r9, %r9
        cmpq    $0, ALWAYS(%r10)
        jne     7f
        growth  %r8, %r9
        mov     WISH(%r10), %r8
        or      %r9, %r8
        jne     6f
        mov     %r8, OPEN_BEGAN(%r10)
        jmp     8f
6:      noticed %r8, %r9
7:      mov     %rdx, %r8
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        or      %r9, %rax
        mov     %rax, OPEN_BEGAN(%r10)
        mov     %r8, %rdx
8:      or      $1, %rcx
        mov     %rcx, STATE(%r10)
opened: jmp     *RESUME(%r11)

internal:
        incq    INTERNAL(%r10)
interned:
        jmp     *RESUME(%r11)

# A call inside an open one, if it lies a little deeper on the stack and what that would return to still stands there; or
# one that takes its place, if its function may.
nested: dec     %rax
        mov     SP(%rax), %rcx
        mov     %rcx, %r8
        sub     %rsp, %r8
        je      2f
        cmp     $NEAR, %r8
        jae     slow
        jmp     3f
2:      mov     OPEN_TAILS(%r10), %r8
        test    OPERATION(%r11), %r8
        je      slow
3:      mov     (%rcx), %r8
        cmp     RETURNS_TO(%rax), %r8
        jne     slow
        incl    INNER(%rax)
counted:
        jmp     *RESUME(%r11)

slow:   jmp     *SLOW(%r11)

leave:  find_block %rcx, %r8, slow
        cmpl    $0, IS_SLOW(%r10)
        jne     slow
        mov     STATE(%r10), %r8
        test    $1, %r8b
        je      closed
        dec     %r8
        cmp     %rsp, SP(%r8)
        jne     closed
        mov     %rax, RESULT(%r8)
        cmpl    $0, FUNCTION(%r8)
        jge     2f
        movq    $0, RESULT(%r8)
        test    %eax, %eax
        jne     2f
        mov     A0(%r8), %r9
        mov     (%r9), %r9
        mov     %r9, RESULT(%r8)
2:      xor     %r9, %r9
        cmpq    $0, ALWAYS(%r10)
        jne     4f
        growth  %rcx, %r9
        mov     WISH(%r10), %rcx
        or      %r9, %rcx
        jne     3f
        mov     OPEN_BEGAN(%r10), %rcx
        or      OPEN_STACK(%r10), %rcx
        jne     5f
        testl   $HAS_MORE, FUNCTION(%r8)
        jne     5f
        add     $RECORD_BYTES, %r8
        mov     %r8, STATE(%r10)
unclocked:
        jmp     *RESUME(%r11)
5:      second  %rcx
        add     $2 * RECORD_BYTES, %r8
        mov     %r8, STATE(%r10)
unread: jmp     *RESUME(%r11)
3:      noticed %rcx, %r9
4:      second  %rcx
        mov     %rax, %rcx
        mov     %rdx, %r9
timed:  rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        or      %rax, ENDED(%r8)
        mov     %rcx, %rax
        mov     %r9, %rdx
        add     $2 * RECORD_BYTES, %r8
        mov     %r8, STATE(%r10)
closed: jmp     *RESUME(%r11)

# A function ends by a jump to another's code: if an open call ends so, it is made a call, to come by its end.
tail:   find_block %rax, %rcx, slow
        cmpl    $0, IS_SLOW(%r10)
        jne     slow
        mov     STATE(%r10), %rax
        test    $1, %al
        je      closed
        cmp     %rsp, SP - 1(%rax)
        jne     closed
        jmp     *THROUGH(%r11)

# int64_t at[3] = counter, clock, counter: called by the observer in itself as sample(clock_gettime, at).
sample: push    %rbx
        push    %rbp
        sub     $24, %rsp
        mov     %rdi, %rbp
        mov     %rsi, %rbx
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, (%rbx)
        mov     $1, %edi                # CLOCK_MONOTONIC
        mov     %rsp, %rsi
        call    *%rbp
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, 16(%rbx)
        imul    $1000000000, (%rsp), %rax
        add     8(%rsp), %rax
        mov     %rax, 8(%rbx)
        add     $24, %rsp
        pop     %rbp
        pop     %rbx
        ret
