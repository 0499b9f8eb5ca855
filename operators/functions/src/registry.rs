//! All functions by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::aggregate::{self, AggregateFunction};
use crate::function::Function;
use crate::generator::{self};
use crate::higher_order::{self, HigherOrder};
use crate::{
    arithmetic, array, avro, comparison, conditional, csv, datetime, hash, json, map, math, misc, protobuf, regex, string,
    structs,
};

static SCALAR: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let families = [
        arithmetic::FUNCTIONS,
        array::FUNCTIONS,
        avro::FUNCTIONS,
        comparison::FUNCTIONS,
        conditional::FUNCTIONS,
        csv::FUNCTIONS,
        datetime::FUNCTIONS,
        hash::FUNCTIONS,
        json::FUNCTIONS,
        map::FUNCTIONS,
        math::FUNCTIONS,
        misc::FUNCTIONS,
        protobuf::FUNCTIONS,
        regex::FUNCTIONS,
        string::FUNCTIONS,
        structs::FUNCTIONS,
    ];
    families.into_iter().flatten().flat_map(|function| function.names.iter().map(|name| (*name, *function))).collect()
});

static GENERATOR: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    generator::FUNCTIONS.iter().flat_map(|function| function.names.iter().map(|name| (*name, *function))).collect()
});

static HIGHER_ORDER: LazyLock<HashMap<&'static str, HigherOrder>> = LazyLock::new(|| {
    higher_order::FUNCTIONS.iter().flat_map(|function| function.names.iter().map(|name| (*name, *function))).collect()
});

static AGGREGATE: LazyLock<HashMap<&'static str, AggregateFunction>> = LazyLock::new(|| {
    aggregate::FUNCTIONS.iter().flat_map(|function| function.names.iter().map(|name| (*name, *function))).collect()
});

/// The scalar function of this name (in lower case); operators are functions named by their sign.
pub fn scalar(name: &str) -> Option<Function> {
    SCALAR.get(name).copied()
}

/// The function of this name (in lower case) that gives an array of rows: see [`mod@crate::generator`].
pub fn generator(name: &str) -> Option<Function> {
    GENERATOR.get(name).copied()
}

/// The function of this name that takes lambdas.
pub fn higher_order(name: &str) -> Option<HigherOrder> {
    HIGHER_ORDER.get(name).copied()
}

/// The aggregate function of this name.
pub fn aggregate(name: &str) -> Option<AggregateFunction> {
    AGGREGATE.get(name).copied()
}

/// The names of all functions, sorted: scalar ones, generators, those with lambdas, aggregates.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        SCALAR.keys().chain(GENERATOR.keys()).chain(HIGHER_ORDER.keys()).chain(AGGREGATE.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}
