use super::*;

const NOW: u64 = 1_700_000_000_000;

/// Goes from one moment with work to the next; tells when each token fired and how often the wheel had work.
fn run_idle(wheel: &mut Wheel) -> (Vec<(u64, u32)>, usize) {
    let (mut fired, mut calls) = (Vec::new(), 0);
    while let Some(now) = wheel.next_due() {
        let mut out = Vec::new();
        wheel.advance(now, &mut usize::MAX.clone(), &mut out);
        fired.extend(out.into_iter().map(|token| (now, token)));
        calls += 1;
    }
    (fired, calls)
}

/// For tests that do not care how it was filed.
fn add(wheel: &mut Wheel, deadline: u64, token: u32) {
    let _ = wheel.add(deadline, token);
}

#[test]
fn random_calls_agree_with_a_map_of_deadlines() {
    (0..60).for_each(fuzz_wheel);
}

#[test]
fn deadlines_within_two_hours_fire_at_their_millisecond() {
    let mut wheel = Wheel::new(NOW);
    let spans = [0, 1, 2, 127, 128, 255, 256, 257, 511, 512, 32_767, 65_535, 65_536, 100_000, 7_200_000];
    for (token, span) in spans.into_iter().enumerate() {
        assert_eq!(wheel.add(NOW + span, token as u32), Filed::Exact);
    }
    let (fired, calls) = run_idle(&mut wheel);
    let expected: Vec<_> = spans.into_iter().enumerate().map(|(token, span)| (NOW + span, token as u32)).collect();
    assert_eq!(fired, expected);
    assert!(calls <= 3 * spans.len(), "{calls} calls");
    wheel.check();
}

#[test]
fn a_far_deadline_fires_early_and_costs_few_wakes() {
    for (span, rounding) in [(86_400_000, 256), (40 * 86_400_000, 65_536), (30 * 365 * 86_400_000, 65_536)] {
        let mut wheel = Wheel::new(NOW);
        let deadline = NOW + span + 77;
        assert_eq!(wheel.add(deadline, 5), Filed::Early);
        let (fired, calls) = run_idle(&mut wheel);
        let [(moment, 5)] = fired[..] else { panic!("{fired:?}") };
        assert!(moment <= deadline && moment + rounding > deadline, "{moment} for {deadline}");
        assert!(calls <= LEVELS, "{calls} calls");
    }
}

#[test]
fn a_deadline_beyond_all_levels_is_filed_and_fires_early() {
    let mut wheel = Wheel::new(NOW);
    assert_eq!(wheel.add(u64::MAX, 5), Filed::Early);
    let (fired, _) = run_idle(&mut wheel);
    assert!(fired[0].0 > NOW + 60 * 365 * 86_400_000);
}

#[test]
fn what_has_passed_is_due_at_once_also_at_the_same_millisecond_again() {
    let mut wheel = Wheel::new(NOW);
    let mut out = Vec::new();
    for token in 0..3 {
        assert_eq!(wheel.add(NOW - u64::from(token), token), Filed::Exact);
        assert_eq!(wheel.next_due(), Some(NOW));
        wheel.advance(NOW, &mut 1, &mut out);
    }
    assert_eq!(out, [0, 1, 2]);
    assert_eq!(wheel.next_due(), None);
}

#[test]
fn a_budget_that_ends_within_a_millisecond_loses_nothing() {
    let mut wheel = Wheel::new(NOW);
    (0..1000).for_each(|token| assert_eq!(wheel.add(NOW + 5, token), Filed::Exact));
    let mut out = Vec::new();
    for call in 1..=10 {
        let mut budget = 100;
        wheel.advance(NOW + 9, &mut budget, &mut out);
        assert_eq!((budget, out.len()), (0, call * 100));
        wheel.check();
    }
    out.sort_unstable();
    assert!(out.into_iter().eq(0..1000));
}

#[test]
fn a_million_deadlines_within_ten_seconds_fire_on_time_in_slices() {
    let mut wheel = Wheel::new(NOW);
    let deadline = |token: u32| NOW + u64::from(token).wrapping_mul(7_919) % 10_000;
    (0..1_000_000).for_each(|token| assert_eq!(wheel.add(deadline(token), token), Filed::Exact));
    assert!(wheel.bytes() < 6_500_000, "{} bytes", wheel.bytes());
    let mut count = 0;
    for now in NOW..NOW + 10_000 {
        let mut out = Vec::new();
        wheel.advance(now, &mut 4_096, &mut out);
        count += out.len();
        // An entry may only be late when the budget of this millisecond was too small.
        assert!(out.iter().all(|&token| deadline(token) == now), "late at {}", now - NOW);
    }
    assert_eq!(count, 1_000_000);
    assert!(wheel.bytes() < 100_000, "{} bytes", wheel.bytes());
    wheel.check();
}

#[test]
fn a_huge_far_slot_is_drained_without_delaying_what_is_due() {
    let mut wheel = Wheel::new(NOW);
    let far = (NOW / 65_536 + 2) * 65_536;
    (0..300_000).for_each(|token| assert_eq!(wheel.add(far + u64::from(token) % 60_000, token), Filed::Exact));
    let steady = 300_000; // and one more every millisecond
    (NOW..far).for_each(|now| assert_eq!(wheel.add(now, steady + (now - NOW) as u32), Filed::Exact));
    for now in NOW..far {
        let mut out = Vec::new();
        wheel.advance(now, &mut 512, &mut out);
        assert_eq!(out, [steady + (now - NOW) as u32]);
    }
    for now in far..far + 60_000 {
        let mut out = Vec::new();
        wheel.advance(now, &mut 512, &mut out);
        assert_eq!(out.len(), 5, "{}", now - far);
    }
}

#[test]
fn a_jump_of_years_fires_all_in_slices() {
    let mut wheel = Wheel::new(NOW);
    (0..10_000).for_each(|token| add(&mut wheel, NOW + (u64::from(token) << 22), token));
    let (mut out, mut calls) = (Vec::new(), 0);
    while out.len() < 10_000 {
        let mut budget = 100;
        wheel.advance(NOW + (1 << 40), &mut budget, &mut out);
        calls += 1;
        assert!(calls <= 500, "{} fired", out.len());
    }
    assert_eq!(wheel.next_due(), None);
    out.sort_unstable();
    assert!(out.into_iter().eq(0..10_000));
}

#[test]
fn a_clock_set_back_delays_old_deadlines_and_serves_new_ones_on_time() {
    for back in [1, 100, 400, 3_600_000, 1 << 35] {
        let mut wheel = Wheel::new(NOW);
        (1..1_000).for_each(|token| add(&mut wheel, NOW + u64::from(token) * 1_000, token));
        let mut out = Vec::new();
        wheel.advance(NOW - back, &mut 10, &mut out);
        assert_eq!(wheel.add(NOW - back + 1, 0), Filed::Exact);
        wheel.check();
        while wheel.next_due() == Some(NOW - back) {
            wheel.advance(NOW - back, &mut 100, &mut out);
        }
        wheel.advance(NOW - back + 1, &mut 10, &mut out);
        assert_eq!(out, [0], "set back by {back}");
        let (fired, _) = run_idle(&mut wheel);
        assert_eq!(fired.len(), 999);
        // The way back to a coarser level may round down.
        assert!(fired.iter().all(|&(now, token)| now + 65_536 > NOW + u64::from(token) * 1_000), "set back by {back}");
        assert!(back > 1 << 22 || fired.iter().all(|&(now, token)| now == NOW + u64::from(token) * 1_000));
    }
}

#[test]
fn a_sweep_drops_what_is_not_kept_and_gives_the_memory_back() {
    let mut wheel = Wheel::new(NOW);
    (0..200_000).for_each(|token| add(&mut wheel, NOW + 86_400_000 + u64::from(token % 7), token));
    let (full, mut calls) = (wheel.bytes(), 1);
    while !wheel.sweep(&mut 1_000, &mut |token, _| token % 100 == 0) {
        calls += 1;
        wheel.advance(NOW + calls, &mut 1_000, &mut Vec::new());
        wheel.check();
    }
    assert_eq!(wheel.len(), 2_000);
    assert!(calls > 190, "{calls}");
    // What was kept lies scattered; the next round moves it together.
    assert!(wheel.sweep(&mut 10_000, &mut |_, _| true));
    assert!(wheel.bytes() < full / 20, "{} of {full}", wheel.bytes());
    let (fired, _) = run_idle(&mut wheel);
    let mut tokens: Vec<_> = fired.into_iter().map(|(_, token)| token).collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq((0..200_000).step_by(100)));
}

#[test]
fn a_slot_that_falls_due_while_it_is_swept_is_not_lost() {
    let mut wheel = Wheel::new(NOW);
    (0..1_000).for_each(|token| add(&mut wheel, NOW + 100_000, token));
    assert!(!wheel.sweep(&mut 300, &mut |_, _| true));
    let (fired, _) = run_idle(&mut wheel);
    assert_eq!(fired.len(), 1_000);
    assert!(fired.iter().all(|&(now, _)| now == NOW + 100_000));
}

#[test]
fn an_empty_wheel_holds_next_to_no_memory() {
    assert_eq!(Wheel::new(NOW).bytes(), 0);
}
