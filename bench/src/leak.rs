//! Does the time of the private operation depend on secrets? A statistical test in the manner of
//! dudect (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017).
//!
//! Two classes of inputs are timed in random order; Welch's t-test says whether their means differ.
//! |t| above 4.5 is a difference that noise does not make; below it, none was found with so many
//! samples, which proves nothing about more of them. A row that must leak shows that the test sees.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nfcwallet_core::card::IccKey;
use nfcwallet_core::card::profile::IccKeyParts;
use nfcwallet_core::host::{Entropy, OsEntropy};
use rsa::hazmat::rsa_decrypt;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPrivateKey};
use zeroize::Zeroizing;

/// Above this, dudect calls a difference proved.
pub const THRESHOLD: f64 = 4.5;

/// Inputs are made this many at a time, before any of them is timed: what making them leaves in the
/// caches then tells nothing of their class.
const BATCH: usize = 512;

/// Keys of each class in a batch: each lives in its own memory, anew in each batch, so that no class has
/// the better places.
const POOL: usize = 16;

/// What one comparison found.
#[derive(Debug)]
pub struct Finding {
    /// What was compared.
    pub name: &'static str,
    /// Samples of both classes.
    pub samples: usize,
    /// Over all samples, and over those below some percentile: the one furthest from 0. Slow outliers
    /// are the machine's, and hide a difference.
    pub t: f64,
    /// Must it leak? Else it must not.
    pub control: bool,
}

/// The two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Fixed,
    Random,
}

impl Class {
    fn of(bit: u8) -> Self {
        if bit == 0 { Self::Fixed } else { Self::Random }
    }
}

type Seed = Zeroizing<[u8; 32]>;

/// Runs all comparisons, `samples` each.
///
/// # Errors
/// If a key cannot be made or an operation fails.
pub fn findings(make_key: impl Fn() -> Result<IccKeyParts>, samples: usize) -> Result<Vec<Finding>> {
    let parts = make_key()?;
    let length = parts.modulus.len();
    let fixed = vec![0x6A; length];
    // Both blocks are made, whichever is taken.
    let one_or_random = |one: &[u8], class| {
        let random = random_block(length);
        if class == Class::Fixed { one.to_vec() } else { random }
    };

    let key = IccKey::parse(&parts)?;
    let sign = |(block, seed): &mut (Vec<u8>, Seed)| key.apply(block, seed).is_ok();
    let input = |class| (one_or_random(&fixed, class), random_seed());
    let usual = compare("our operation, one block or random ones", samples, each(input), sign)?;
    let small_one = small_block(length);
    let input = |class| (one_or_random(&small_one, class), random_seed());
    let small = compare("our operation, 1 or random blocks", samples, each(input), sign)?;

    let others = (0..POOL).map(|_| make_key()).collect::<Result<Vec<_>>>()?;
    let keys = |classes: &[Class]| {
        let pair = |other| Ok([Arc::new(IccKey::parse(&parts)?), Arc::new(IccKey::parse(other)?)]);
        let pool = others.iter().map(pair).collect::<Result<Vec<_>>>()?;
        let input = |(pair, class): (&[Arc<IccKey>; 2], &Class)| {
            let [one, other] = pair;
            let key = if *class == Class::Fixed { one } else { other };
            (Arc::clone(key), fixed.clone(), random_seed())
        };
        Ok(pool.iter().cycle().zip(classes).map(input).collect())
    };
    let by_key = compare("our operation, one key or random ones", samples, keys, |(key, block, seed)| {
        key.apply(block, seed).is_ok()
    })?;

    let bare_key = private_key(&parts)?;
    let input = |class| BoxedUint::from_be_slice(&one_or_random(&small_one, class), bare_key.n_bits_precision());
    let bare = compare("without blinding: 1 or random numbers", samples, each(input), |number| {
        number.as_ref().is_ok_and(|number| rsa_decrypt(None::<&mut NoRng>, &bare_key, number).is_ok())
    })?;

    let input = |class| one_or_random(&fixed, class);
    let seen = compare("a comparison that stops at a difference", samples, each(input), |block| {
        // Written so that the compiler does not make one wide comparison of it.
        block.iter().zip(&fixed).all(|(one, other)| black_box(one) == black_box(other)) || block.len() == length
    })?;
    Ok(vec![usual, small, by_key, bare, Finding { control: true, ..seen }])
}

/// Inputs that are made one by one.
fn each<T>(input: impl Fn(Class) -> T) -> impl Fn(&[Class]) -> Result<Vec<T>> {
    move |classes| Ok(classes.iter().map(|class| input(*class)).collect())
}

/// Times `operation` on inputs of either class, in random order.
fn compare<T>(
    name: &'static str,
    samples: usize,
    inputs: impl Fn(&[Class]) -> Result<Vec<T>>,
    mut operation: impl FnMut(&mut T) -> bool,
) -> Result<Finding> {
    let mut times = Vec::with_capacity(samples + BATCH);
    // The first batch warms up.
    let mut warm = false;
    while times.len() < samples {
        let classes: Vec<_> = random_block(BATCH).iter().map(|byte| Class::of(byte & 1)).collect();
        let mut inputs = inputs(&classes)?;
        for (input, class) in inputs.iter_mut().zip(classes) {
            let start = Instant::now();
            let done = black_box(operation(black_box(input)));
            let took = start.elapsed();
            ensure!(done, "{name}: the operation failed");
            if warm {
                times.push((class, took.as_secs_f64() * 1e9));
            }
        }
        warm = true;
    }
    let t = furthest(&times).with_context(|| format!("{name}: too few samples"))?;
    Ok(Finding { name, samples: times.len(), t, control: false })
}

/// The t value furthest from 0, over all times and over those below some percentiles of all.
fn furthest(times: &[(Class, f64)]) -> Option<f64> {
    let mut sorted: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let limits = [100, 99, 95, 90, 75, 50].map(|percent| sorted.get((sorted.len() * percent / 100).saturating_sub(1)));
    let values = limits.into_iter().flatten().filter_map(|limit| {
        let of = |wanted| times.iter().filter(move |(class, time)| *class == wanted && time <= limit).map(|(_, t)| *t);
        welch(of(Class::Fixed), of(Class::Random))
    });
    values.max_by(|one, other| one.abs().total_cmp(&other.abs()))
}

/// Welch's t: the difference of the means over its standard error.
fn welch(one: impl Iterator<Item = f64>, other: impl Iterator<Item = f64>) -> Option<f64> {
    let (one, other) = (Moments::of(one), Moments::of(other));
    let error = (one.variance()? / one.count + other.variance()? / other.count).sqrt();
    (error > 0.0).then(|| (one.mean - other.mean) / error)
}

/// Mean and variance in one pass (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        values.fold(Self::default(), |mut moments, value| {
            moments.count += 1.0;
            let before = value - moments.mean;
            moments.mean += before / moments.count;
            moments.squares += before * (value - moments.mean);
            moments
        })
    }

    fn variance(&self) -> Option<f64> {
        (self.count >= 2.0).then(|| self.squares / (self.count - 1.0))
    }
}

fn private_key(parts: &IccKeyParts) -> Result<RsaPrivateKey> {
    let bits = u32::try_from(parts.modulus.len() * 4)?;
    let prime = |bytes| BoxedUint::from_be_slice(bytes, bits);
    let exponent = BoxedUint::from_be_slice_vartime(&parts.exponent);
    Ok(RsaPrivateKey::from_p_q(prime(parts.prime_p.expose())?, prime(parts.prime_q.expose())?, exponent)?)
}

/// The number 1: all limbs but one are zero.
fn small_block(length: usize) -> Vec<u8> {
    let mut block = vec![0; length];
    if let Some(last) = block.last_mut() {
        *last = 1;
    }
    block
}

/// Below any modulus with its top bit set.
fn random_block(length: usize) -> Vec<u8> {
    let mut block = vec![0; length];
    OsEntropy.fill(&mut block);
    if let Some(first) = block.first_mut() {
        *first &= 0x7F;
    }
    block
}

fn random_seed() -> Seed {
    let mut seed = Zeroizing::new([0; 32]);
    OsEntropy.fill(&mut *seed);
    seed
}

/// There is no blinding to draw for.
struct NoRng;

impl rsa::rand_core::TryRng for NoRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for NoRng {}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(fixed: f64, random: f64) -> Vec<(Class, f64)> {
        // A spread of 0 to 9 around either mean.
        (0..2_000)
            .flat_map(|n| {
                let noise = f64::from(n % 10);
                [(Class::Fixed, fixed + noise), (Class::Random, random + noise)]
            })
            .collect()
    }

    #[test]
    fn equal_times_are_no_finding_and_different_ones_are() {
        assert!(furthest(&samples(100.0, 100.0)).unwrap().abs() < THRESHOLD);
        assert!(furthest(&samples(100.0, 101.0)).unwrap() < -THRESHOLD);
    }

    #[test]
    fn a_difference_is_seen_below_outliers() {
        let mut times = samples(100.0, 101.0);
        for (at, (_, time)) in times.iter_mut().enumerate() {
            if at % 23 == 0 {
                *time += 1e6;
            }
        }
        assert!(furthest(&times).unwrap().abs() > THRESHOLD);
    }

    #[test]
    fn the_t_value_is_welchs() {
        // The expected value is from Python's `statistics` and the formula.
        let a1 = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4];
        let a2 = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 31.6];
        let t = welch(a1.into_iter(), a2.into_iter()).unwrap();
        assert!((t + 2.942_550_927).abs() < 1e-6, "{t}");
    }
}
