use proptest::prelude::*;

use super::*;

type TestPool = Pool<u32, char>;

#[test]
fn leases_are_last_in_first_out() {
    let mut pool = TestPool::new();
    for lease in 1..=3 {
        assert_eq!(
            pool.vacant(lease, Was::Running, Warmth::Warm),
            Vacancy::Kept
        );
    }
    assert_eq!(pool.oldest(), Some(&1));
    assert_eq!(
        (pool.take(), pool.take(), pool.take(), pool.take()),
        (Some(3), Some(2), Some(1), None)
    );
}

#[test]
fn waiters_are_first_in_first_out_and_get_one_environment_each() {
    let mut pool = TestPool::new();
    assert_eq!(pool.wait('a').1, 1);
    assert_eq!(pool.wait('b').1, 1);
    assert_eq!(
        pool.vacant(1, Was::Starting, Warmth::Warm),
        Vacancy::Serve('a', 1)
    );
    assert_eq!(
        pool.vacant(1, Was::Running, Warmth::Warm),
        Vacancy::Serve('b', 1)
    );
    // The one that was started for b is nobody's now.
    assert_eq!(pool.vacant(2, Was::Starting, Warmth::Warm), Vacancy::Kept);
}

#[test]
fn a_surplus_start_serves_the_next_waiter() {
    let mut pool = TestPool::new();
    let (ticket, starts) = pool.wait('a');
    assert_eq!(starts, 1);
    pool.leave(ticket);
    assert_eq!(pool.wait('b').1, 0, "one is starting already");
    assert_eq!(pool.wait('c').1, 1);
}

#[test]
fn a_settling_environment_is_waited_for_until_a_waiter_insists() {
    let mut pool = TestPool::new();
    pool.settling();
    let (a, starts) = pool.wait('a');
    assert_eq!(starts, 0);
    assert_eq!(pool.wait('b').1, 1, "it serves only one");
    assert_eq!(
        pool.insist(a),
        0,
        "what was started for b serves the oldest"
    );
    let mut pool = TestPool::new();
    pool.settling();
    let (a, _) = pool.wait('a');
    assert_eq!(pool.insist(a), 1);
    assert_eq!(
        pool.vacant(1, Was::Settling, Warmth::Warm),
        Vacancy::Serve('a', 1)
    );
}

#[test]
fn a_failed_start_fails_one_waiter() {
    let mut pool = TestPool::new();
    pool.wait('a');
    pool.wait('b');
    assert_eq!(pool.lost(Was::Starting), (Some('a'), 0));
    assert_eq!(pool.lost(Was::Starting), (Some('b'), 0));
    assert_eq!(pool.lost(Was::Starting), (None, 0));
}

#[test]
fn when_a_settling_environment_dies_another_is_started() {
    let mut pool = TestPool::new();
    pool.settling();
    assert_eq!(pool.wait('a').1, 0);
    assert_eq!(pool.lost(Was::Settling), (None, 1));
}

#[test]
fn a_retired_pool_serves_its_waiters_and_keeps_nothing() {
    let mut pool = TestPool::new();
    pool.vacant(1, Was::Running, Warmth::Warm);
    assert_eq!(pool.retire(), [1]);
    pool.wait('a');
    assert_eq!(
        pool.vacant(2, Was::Starting, Warmth::Warm),
        Vacancy::Serve('a', 2)
    );
    assert_eq!(
        pool.vacant(2, Was::Running, Warmth::Warm),
        Vacancy::Retire(2)
    );
    assert_eq!(pool.take(), None);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Call,
    Insist(usize),
    Leave(usize),
    Started,
    StartFailed,
    Answered(usize),
    Parked(usize),
    Crashed(usize),
    IdleDied(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = 0..4_usize;
    let step = prop_oneof![
        4 => Just(Step::Call),
        1 => index.clone().prop_map(Step::Insist),
        1 => index.clone().prop_map(Step::Leave),
        3 => Just(Step::Started),
        1 => Just(Step::StartFailed),
        3 => index.clone().prop_map(Step::Answered),
        3 => index.clone().prop_map(Step::Parked),
        1 => index.clone().prop_map(Step::Crashed),
        1 => index.prop_map(Step::IdleDied),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The world around the pool: who runs where, who waits.
#[derive(Default)]
struct World {
    starting: usize,
    waiting: Vec<Ticket>,
    running: Vec<u32>,
    settling: Vec<u32>,
    idle: Vec<u32>,
    last: u32,
}

impl World {
    fn place(&mut self, vacancy: Vacancy<u32, char>, lease: u32) {
        match vacancy {
            Vacancy::Serve(_, served) => {
                assert_eq!(served, lease);
                self.waiting.remove(0);
                self.running.push(lease);
            }
            Vacancy::Kept => self.idle.push(lease),
            Vacancy::Retire(_) => unreachable!("never retired"),
        }
    }
}

proptest! {
    /// No lease is ever in two hands, nobody waits while an environment is idle, and nobody waits
    /// for an environment that will not come.
    #[test]
    fn leases_are_never_shared_and_waiters_never_forgotten(steps in steps()) {
        let (mut pool, mut world) = (TestPool::new(), World::default());
        for step in steps {
            match step {
                Step::Call => match pool.take() {
                    Some(lease) => {
                        let at = world.idle.iter().position(|one| *one == lease);
                        world.idle.remove(at.expect("only idle ones are taken"));
                        world.running.push(lease);
                    }
                    None => {
                        let (ticket, starts) = pool.wait('w');
                        world.waiting.push(ticket);
                        world.starting += starts;
                    }
                },
                Step::Insist(index) => if let Some(ticket) = world.waiting.get(index) {
                    world.starting += pool.insist(*ticket);
                },
                Step::Leave(index) => if index < world.waiting.len() {
                    pool.leave(world.waiting.remove(index));
                },
                Step::Started => if world.starting > 0 {
                    world.starting -= 1;
                    world.last += 1;
                    let vacancy = pool.vacant(world.last, Was::Starting, Warmth::Warm);
                    world.place(vacancy, world.last);
                },
                Step::StartFailed => if world.starting > 0 {
                    world.starting -= 1;
                    let (failed, starts) = pool.lost(Was::Starting);
                    if failed.is_some() { world.waiting.remove(0); }
                    world.starting += starts;
                },
                Step::Answered(index) => if index < world.running.len() {
                    world.settling.push(world.running.remove(index));
                    pool.settling();
                },
                Step::Parked(index) => if index < world.settling.len() {
                    let lease = world.settling.remove(index);
                    let vacancy = pool.vacant(lease, Was::Settling, Warmth::Warm);
                    world.place(vacancy, lease);
                },
                Step::Crashed(index) => if index < world.settling.len() {
                    world.settling.remove(index);
                    world.starting += pool.lost(Was::Settling).1;
                },
                Step::IdleDied(index) => if let Some(dead) = world.idle.get(index).copied() {
                    world.idle.remove(index);
                    prop_assert_eq!(pool.remove(|lease| *lease == dead), vec![dead]);
                    pool.lost(Was::Idle);
                },
            }
            prop_assert!(world.waiting.is_empty() || world.idle.is_empty());
            prop_assert!(world.waiting.len() <= world.starting + world.settling.len());
        }
    }
}

#[test]
fn an_environment_that_must_initialize_is_used_last_and_goes_first() {
    let mut pool = Pool::<u32, char>::new();
    pool.vacant(1, Was::Settling, Warmth::Warm);
    pool.vacant(2, Was::Settling, Warmth::Cold);
    pool.vacant(3, Was::Settling, Warmth::Warm);
    assert_eq!(pool.oldest(), Some(&2));
    assert_eq!([pool.take(), pool.take(), pool.take()], [3, 1, 2].map(Some));
}
