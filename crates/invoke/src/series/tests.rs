use super::*;

const NOW: u64 = 29_000_000;

fn recorder(rings: &Arc<Rings>) -> Arc<Recorder> {
    let recorder = Recorder::new(rings);
    recorder.lock().since = NOW;
    recorder
}

fn minutes(from: u64, to: u64, step: u64) -> MetricsQuery {
    MetricsQuery {
        from_ms: from * BUCKET_MS,
        to_ms: to * BUCKET_MS,
        step_ms: step * BUCKET_MS,
    }
}

fn count(recorder: &Recorder, now: u64) {
    recorder.write_at(now, |bucket, _| bucket.invocations += 1);
}

fn counts(recorder: &Recorder, query: MetricsQuery, now: u64) -> Vec<(u64, u64)> {
    let points = recorder.read_at(query, now).points;
    points
        .iter()
        .map(|point| (point.at_ms / BUCKET_MS, point.invocations))
        .collect()
}

#[test]
fn a_ring_is_as_small_as_is_told() {
    assert!(size_of::<Bucket>() * limits::METRICS_BUCKETS <= 81 * 1_024);
}

#[test]
fn points_are_whole_steps_of_what_is_kept() {
    let rings = Rings::new(1);
    let recorder = recorder(&rings);
    for minute in 0..10 {
        count(&recorder, NOW + minute);
    }
    let now = NOW + 9;
    assert_eq!(
        counts(&recorder, minutes(NOW, NOW + 10, 5), now),
        [(NOW, 5), (NOW + 5, 5)]
    );
    assert_eq!(
        counts(&recorder, minutes(NOW + 2, NOW + 4, 1), now),
        [(NOW + 2, 1), (NOW + 3, 1)]
    );
    // Before the function, and the future, are left out.
    assert_eq!(
        counts(&recorder, minutes(0, u64::MAX / BUCKET_MS, 1), now).len(),
        10
    );
    assert_eq!(counts(&recorder, minutes(NOW + 50, NOW + 60, 1), now), []);
    assert_eq!(counts(&recorder, minutes(NOW + 5, NOW + 5, 1), now), []);
    let all = recorder.read_at(
        MetricsQuery {
            from_ms: 0,
            to_ms: u64::MAX,
            step_ms: u64::MAX,
        },
        now,
    );
    assert_eq!((all.points.len(), all.points[0].invocations), (1, 10));
}

#[test]
fn a_function_that_never_ran_has_zeros_since_it_exists() {
    let rings = Rings::new(1);
    let recorder = recorder(&rings);
    let series = recorder.read_at(minutes(NOW - 10, NOW + 10, 1), NOW + 2);
    assert_eq!(series.kept_from_ms, NOW * BUCKET_MS);
    assert_eq!(series.points.len(), 3);
    assert!(series.points.iter().all(|point| point.invocations == 0));
    count(&recorder, NOW + 2);
    assert_eq!(
        counts(&recorder, minutes(NOW, NOW + 10, 1), NOW + 2),
        [(NOW, 0), (NOW + 1, 0), (NOW + 2, 1)]
    );
}

#[test]
fn the_function_that_was_silent_longest_gives_up_its_ring() {
    let rings = Rings::new(2);
    let [first, second, third] = std::array::from_fn(|_| recorder(&rings));
    count(&first, NOW);
    count(&second, NOW + 1);
    // Nobody was silent for a whole bucket: there is no ring for a third function yet.
    count(&first, NOW + 1);
    count(&third, NOW + 1);
    assert_eq!(counts(&third, minutes(NOW, NOW + 9, 1), NOW + 1), []);
    count(&first, NOW + 2);
    count(&third, NOW + 2);
    assert_eq!(
        counts(&third, minutes(NOW, NOW + 9, 1), NOW + 2),
        [(NOW + 2, 1)]
    );
    assert_eq!(
        counts(&second, minutes(NOW, NOW + 9, 1), NOW + 2),
        [(NOW + 2, 0)]
    );
    assert_eq!(counts(&first, minutes(NOW, NOW + 9, 1), NOW + 2).len(), 3);
    // One that is deleted leaves its ring to others.
    drop(third);
    count(&second, NOW + 2);
    assert_eq!(rings.taken.lock().unwrap().len(), 2);
    assert!(second.lock().ring.is_some());
}

#[test]
fn what_runs_is_counted_until_it_is_gone() {
    let rings = Rings::new(1);
    let recorder = Recorder::new(&rings);
    let (one, two) = (recorder.enter(), recorder.enter());
    one.ended(true, Some(Duration::from_millis(7)));
    drop(two);
    let three = recorder.enter();
    three.ended(false, None);
    recorder.throttle();
    recorder.cold_start();
    let series = recorder.read(MetricsQuery {
        from_ms: 0,
        to_ms: u64::MAX,
        step_ms: u64::MAX,
    });
    let point = &series.points[0];
    assert_eq!(
        (
            point.invocations,
            point.errors,
            point.throttles,
            point.cold_starts
        ),
        (2, 1, 1, 1)
    );
    assert_eq!(point.concurrency_max, 2);
    assert_eq!(recorder.lock().running, 0);
    let durations = point.durations.unwrap();
    assert_eq!(durations.count, 1);
    for told in [
        durations.sum,
        durations.min,
        durations.max,
        durations.p50,
        durations.p99,
    ] {
        assert_eq!(told, Duration::from_millis(7));
    }
}

#[test]
fn many_threads_lose_no_count() {
    let rings = Rings::new(1);
    let recorder = Recorder::new(&rings);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    recorder
                        .enter()
                        .ended(false, Some(Duration::from_millis(1)));
                }
            });
        }
    });
    let all = MetricsQuery {
        from_ms: 0,
        to_ms: u64::MAX,
        step_ms: u64::MAX,
    };
    assert_eq!(recorder.read(all).points[0].invocations, 4_000);
}
