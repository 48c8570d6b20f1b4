//! Up to which size collections keep their packed form: the options of Redis for it, with their meaning and defaults.

/// How much one node of a list holds (`list-max-listpack-size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListNodeLimit {
    /// Bytes of the elements with their lengths: -1 to -5 are 4, 8, 16, 32 and 64 KiB.
    Bytes(usize),
    /// Elements, and no more than 8 KiB of them.
    Elements(usize),
}

impl ListNodeLimit {
    /// From the option's number. 0 is taken as 1, and less than -5 as -5.
    pub fn from_option(number: i64) -> ListNodeLimit {
        match number {
            1.. => ListNodeLimit::Elements(number as usize),
            0 => ListNodeLimit::Elements(1),
            _ => ListNodeLimit::Bytes(4096 << (-number.max(-5) - 1)),
        }
    }
}

/// The limits of all types. A collection that passes one of its limits changes its form, and never changes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields of a packed hash, and bytes of the longest field or value in one.
    pub hash_packed_entries: usize,
    pub hash_packed_value: usize,
    /// Members of a set of integers alone.
    pub set_int_entries: usize,
    pub set_packed_entries: usize,
    pub set_packed_value: usize,
    pub zset_packed_entries: usize,
    pub zset_packed_value: usize,
    pub list_node: ListNodeLimit,
    /// 0 is no limit.
    pub stream_node_bytes: usize,
    pub stream_node_entries: usize,
    /// What the hashes within collections begin with, so that nobody outside can choose members that collide.
    pub hash_seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hash_packed_entries: 512,
            hash_packed_value: 64,
            set_int_entries: 512,
            set_packed_entries: 128,
            set_packed_value: 64,
            zset_packed_entries: 128,
            zset_packed_value: 64,
            list_node: ListNodeLimit::from_option(-2),
            stream_node_bytes: 4096,
            stream_node_entries: 100,
            hash_seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_list_nodes_mean_what_they_mean_in_redis() {
        let limit = ListNodeLimit::from_option;
        assert_eq!([limit(-1), limit(-2), limit(-5), limit(-9)], [4096, 8192, 65536, 65536].map(ListNodeLimit::Bytes));
        assert_eq!([limit(0), limit(1), limit(128)], [1, 1, 128].map(ListNodeLimit::Elements));
    }
}
