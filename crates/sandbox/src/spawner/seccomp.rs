//! The system call filter: rules compiled to a search tree of BPF.
//!
//! The kernel walks a filter once for every system call number when it is installed, and at each
//! call it cannot answer from the resulting bitmap. A list of sixty comparisons would cost more
//! than the rest of a start; a tree needs seven.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    sock_filter, sock_fprog,
};

use super::seccomp_rules::{Argument, NEWEST, Rule, SocketKind, Verdict, rules};

/// A compiled filter.
#[derive(Debug)]
pub(super) struct Program(Vec<sock_filter>);

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7;

const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

impl Program {
    /// Compiles the rules of this machine's architecture.
    pub(super) fn new() -> Self {
        let mut code = vec![
            statement(BPF_LD | BPF_W | BPF_ABS, ARCH_OFFSET),
            jump(BPF_JEQ, ARCH, 1, 0),
            // Another architecture's numbers mean other calls: nothing of it is let through.
            verdict(Verdict::Kill),
            statement(BPF_LD | BPF_W | BPF_ABS, NUMBER_OFFSET),
        ];
        code.extend(tree(&ranges(rules()), NEWEST + 2));
        Self(code)
    }

    pub(super) fn as_raw(&self) -> sock_fprog {
        sock_fprog {
            len: u16::try_from(self.0.len()).expect("the kernel's limit is 4096 instructions"),
            filter: self.0.as_ptr().cast_mut(),
        }
    }
}

/// Numbers from `first` up to the next range's are treated alike.
struct Range {
    first: u32,
    code: Vec<sock_filter>,
}

/// All numbers, in order; neighbours that are treated alike are one range.
fn ranges(mut rules: Vec<Rule>) -> Vec<Range> {
    rules.sort_by_key(|rule| rule.number);
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |first: u32, code: Vec<sock_filter>| {
        let same = |range: &Range| {
            range.code.len() == code.len()
                && range
                    .code
                    .iter()
                    .zip(&code)
                    .all(|(a, b)| (a.code, a.jt, a.jf, a.k) == (b.code, b.jt, b.jf, b.k))
        };
        match ranges.last_mut() {
            Some(last) if last.first == first => last.code = code,
            Some(last) if same(last) => {}
            _ => ranges.push(Range { first, code }),
        }
    };
    add(0, vec![verdict(Verdict::Allow)]);
    for rule in &rules {
        add(rule.number, leaf(rule));
        let next = rule.number + 1;
        if rules
            .binary_search_by_key(&next, |rule| rule.number)
            .is_err()
        {
            add(next, vec![verdict(Verdict::Allow)]);
        }
    }
    // Above the newest known call are the x32 numbers and what future kernels add.
    add(NEWEST + 1, vec![verdict(Verdict::Errno(libc::ENOSYS))]);
    ranges
}

/// Halves the numbers until one range is left; each half is a jump away.
fn tree(ranges: &[Range], end: u32) -> Vec<sock_filter> {
    if let [range] = ranges {
        return range.code.clone();
    }
    let (low, high) = ranges.split_at(middle(ranges, end));
    let first_high = high[0].first;
    let low = tree(low, first_high);
    let mut code = Vec::new();
    // A conditional jump reaches 255 instructions, an unconditional one any number.
    if let Ok(distance) = u8::try_from(low.len()) {
        code.push(jump(BPF_JGE, first_high, distance, 0));
    } else {
        let distance = u32::try_from(low.len()).expect("bounded by the rules");
        code.push(jump(BPF_JGE, first_high, 0, 1));
        code.push(statement(BPF_JMP | libc::BPF_JA, distance));
    }
    code.extend(low);
    code.extend(tree(high, end));
    code
}

/// Where to split so that about half of the numbers lie on each side: the kernel tries each number
/// once, so it is their mean depth that a start pays for.
fn middle(ranges: &[Range], end: u32) -> usize {
    let half = u32::midpoint(ranges[0].first, end);
    let distance = |at: &usize| ranges[*at].first.abs_diff(half);
    (1..ranges.len()).min_by_key(distance).unwrap_or(1)
}

/// What happens to a call whose number matched.
fn leaf(rule: &Rule) -> Vec<sock_filter> {
    match rule.argument {
        Argument::Any => vec![verdict(rule.verdict)],
        Argument::HasBits { index, bits } => vec![
            load_argument(index),
            jump(BPF_JSET, bits, 0, 1),
            verdict(rule.verdict),
            verdict(Verdict::Allow),
        ],
        Argument::Equals { index, values } => {
            let mut code = vec![load_argument(index)];
            for value in values {
                code.extend([jump(BPF_JEQ, *value, 0, 1), verdict(rule.verdict)]);
            }
            code.push(verdict(Verdict::Allow));
            code
        }
        Argument::NoneOf { index, values } => {
            let mut code = vec![load_argument(index)];
            for value in values {
                code.extend([jump(BPF_JEQ, *value, 0, 1), verdict(Verdict::Allow)]);
            }
            code.push(verdict(rule.verdict));
            code
        }
        Argument::Sockets(kinds) => {
            let mut code = Vec::new();
            for kind in kinds {
                code.extend(socket(kind));
            }
            code.push(verdict(rule.verdict));
            code
        }
    }
}

/// Allows `socket` calls of one family with one of its types and protocols, else falls through.
fn socket(kind: &SocketKind) -> Vec<sock_filter> {
    let mut types = vec![
        load_argument(1),
        // The flags SOCK_CLOEXEC and SOCK_NONBLOCK ride on the type.
        statement(BPF_ALU | BPF_AND | BPF_K, 0xF),
    ];
    types.extend(kind.types.iter().map(|kind| jump(BPF_JEQ, *kind, 0, 0)));
    let mut protocols = vec![load_argument(2)];
    for protocol in kind.protocols {
        protocols.extend([jump(BPF_JEQ, *protocol, 0, 1), verdict(Verdict::Allow)]);
    }
    // Each type test jumps past the remaining ones to the protocols; the last, failing, leaves.
    let tests = kind.types.len();
    let first = types.len() - tests;
    let beyond = u8::try_from(protocols.len()).expect("a handful of protocols");
    for (index, test) in types[first..].iter_mut().enumerate() {
        let remaining = u8::try_from(tests - index - 1).expect("a handful of types");
        test.jt = remaining;
        test.jf = if remaining == 0 { beyond } else { 0 };
    }
    types.extend(protocols);
    let skip = u8::try_from(types.len()).expect("a handful of instructions");
    let mut code = vec![load_argument(0), jump(BPF_JEQ, kind.family, 0, skip)];
    code.extend(types);
    code
}

fn load_argument(index: u32) -> sock_filter {
    // The low half: all arguments looked at are ints to the kernel. Both supported architectures
    // are little-endian.
    statement(BPF_LD | BPF_W | BPF_ABS, ARGUMENTS_OFFSET + 8 * index)
}

fn verdict(verdict: Verdict) -> sock_filter {
    let value = match verdict {
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Verdict::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
    };
    statement(BPF_RET | BPF_K, value)
}

fn jump(condition: u32, value: u32, matched: u8, other: u8) -> sock_filter {
    sock_filter {
        jt: matched,
        jf: other,
        ..statement(BPF_JMP | condition | BPF_K, value)
    }
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).expect("opcodes are 16 bits"),
        jt: 0,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would and counts the steps.
    fn evaluate(program: &Program, arch: u32, number: u32, arguments: [u32; 3]) -> (u32, usize) {
        let (mut accumulator, mut at, mut steps) = (0_u32, 0_usize, 0_usize);
        loop {
            let op = program.0[at];
            let code = u32::from(op.code);
            steps += 1;
            at += 1;
            let jumped = |taken: bool| usize::from(if taken { op.jt } else { op.jf });
            if code == BPF_LD | BPF_W | BPF_ABS {
                accumulator = match op.k {
                    0 => number,
                    4 => arch,
                    16 => arguments[0],
                    24 => arguments[1],
                    32 => arguments[2],
                    other => panic!("load of {other}"),
                };
            } else if code == BPF_ALU | BPF_AND | BPF_K {
                accumulator &= op.k;
            } else if code == BPF_JMP | libc::BPF_JA {
                at += op.k as usize;
            } else if code == BPF_JMP | BPF_JEQ | BPF_K {
                at += jumped(accumulator == op.k);
            } else if code == BPF_JMP | BPF_JGE | BPF_K {
                at += jumped(accumulator >= op.k);
            } else if code == BPF_JMP | BPF_JSET | BPF_K {
                at += jumped(accumulator & op.k != 0);
            } else if code == BPF_RET | BPF_K {
                return (op.k, steps);
            } else {
                panic!("instruction {code:#x}");
            }
        }
    }

    fn outcome(number: i64, arguments: [u32; 3]) -> u32 {
        let number = u32::try_from(number).unwrap();
        evaluate(&Program::new(), ARCH, number, arguments).0
    }

    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    fn every_number_meets_its_rule_within_few_steps() {
        let program = Program::new();
        let rules = rules();
        let mut all_steps = 0;
        for number in 0..=NEWEST {
            let (value, steps) = evaluate(&program, ARCH, number, [0, 0, 0]);
            let rule = rules.iter().find(|rule| rule.number == number);
            match rule {
                None => assert_eq!(value, ALLOW, "call {number}"),
                Some(rule) if matches!(rule.argument, Argument::Any) => {
                    assert_ne!(value, ALLOW, "call {number}, {}", rule.why);
                }
                Some(_) => {}
            }
            assert!(steps < 50, "call {number} takes {steps} steps");
            all_steps += steps;
        }
        let mean = all_steps / (NEWEST as usize + 1);
        assert!(mean < 11, "{mean} steps in the mean");
    }

    #[test]
    fn no_number_has_two_rules() {
        let mut numbers: Vec<u32> = rules().iter().map(|rule| rule.number).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn other_architectures_and_future_calls_are_stopped() {
        let program = Program::new();
        assert_eq!(
            evaluate(&program, 0x4000_0003, 0, [0; 3]).0,
            libc::SECCOMP_RET_KILL_PROCESS
        );
        assert_eq!(evaluate(&program, ARCH, 0x4000_0000, [0; 3]).0, ENOSYS);
        assert_eq!(evaluate(&program, ARCH, NEWEST + 1, [0; 3]).0, ENOSYS);
        assert_eq!(evaluate(&program, ARCH, NEWEST, [0; 3]).0, ALLOW);
    }

    #[test]
    fn the_program_is_short() {
        let length = Program::new().0.len();
        assert!(
            length < 220,
            "{length} instructions: every start installs them"
        );
    }

    #[test]
    fn threads_are_made_and_namespaces_are_not() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(
            outcome(libc::SYS_clone, [thread.cast_unsigned(), 0, 0]),
            ALLOW
        );
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
            assert_eq!(
                outcome(libc::SYS_clone, [flag.cast_unsigned(), 0, 0]),
                EPERM
            );
        }
        assert_eq!(outcome(libc::SYS_clone3, [0; 3]), ENOSYS);
    }

    #[test]
    fn ordinary_sockets_pass_and_others_do_not() {
        let socket = |family: i32, kind: i32, protocol: u32| {
            let kind = (kind | libc::SOCK_CLOEXEC).cast_unsigned();
            outcome(libc::SYS_socket, [family.cast_unsigned(), kind, protocol])
        };
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM, 0), ALLOW);
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM, 6), ALLOW);
        assert_eq!(socket(libc::AF_INET6, libc::SOCK_DGRAM, 17), ALLOW);
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0), ALLOW);
        assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0), ALLOW);
        assert_ne!(socket(libc::AF_NETLINK, libc::SOCK_RAW, 12), ALLOW);
        assert_ne!(socket(libc::AF_INET, libc::SOCK_RAW, 1), ALLOW);
        assert_ne!(socket(libc::AF_INET, libc::SOCK_STREAM, 262), ALLOW);
        assert_ne!(socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0), ALLOW);
        assert_ne!(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0), ALLOW);
        assert_ne!(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), ALLOW);
    }
}
