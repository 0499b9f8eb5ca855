//! `kill -9` at random moments. `SEED=n` repeats a run; the seed is printed when a check fails.

use std::time::{Duration, Instant};

use crate::scene::{End, Random, Scene, run, seed};

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let seed = seed(20_261_123);
    let mut random = Random::new(seed);
    let mut kills = 0;
    while kills < 50 {
        let scene = Scene::new(60, 100, random.next());
        // An undisturbed run tells how long one takes here: kills fall everywhere in it, its first and last moments too.
        let started = Instant::now();
        let rehearsal = tempfile::tempdir().unwrap();
        assert_eq!(run(&scene.job_at(rehearsal.path(), 2), None), End::Done);
        let whole = started.elapsed();
        scene.check_at(rehearsal.path());

        let mut crashes = 0;
        loop {
            let mut job = scene.job(if random.below(4) == 0 { 1 + random.below(4) as usize } else { 2 });
            job.in_flight = 1 + random.below(3) as usize;
            let moment = Duration::from_micros(random.below(whole.as_micros() as u64));
            // Short runs first would never come to the end: after some kills, longer ones are let through more often.
            match run(&job, Some(moment.max(whole * (crashes / 12) / 4))) {
                End::Crashed => crashes += 1,
                End::Done => break,
                End::Failed(error) => panic!("SEED={seed}: a run after a kill failed: {error}"),
            }
        }
        kills += crashes;
        scene.check();
    }
}
