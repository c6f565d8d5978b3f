# Print, as JSON, what a Vagrantfile sets: ruby settings.rb VAGRANTFILE old|new
#
# A stand-in for Vagrant that notes every assignment and call. An old one has no box_architecture=, as before 2.4.

require "json"

class Notes < BasicObject
  def initialize(found, prefix, modern)
    @found, @prefix, @modern = found, prefix, modern
  end

  def respond_to?(name, *)
    name != :box_architecture= || @modern
  end

  def provider(name)
    yield ::Notes.new(@found, "#{name}.", @modern), ::Notes.new(@found, "#{name}.", @modern)
  end

  def method_missing(name, *arguments, &block)
    ::Kernel.raise ::NoMethodError, name.to_s unless respond_to?(name)
    return ::Notes.new(@found, @prefix, @modern) if arguments.empty?

    @found["#{@prefix}#{name.to_s.delete_suffix("=")}"] = arguments.length == 1 ? arguments[0] : arguments
    block&.call(::Notes.new(@found, "#{name}.", @modern))
  end
end

module Vagrant
  def self.configure(_version)
    found = {}
    yield Notes.new(found, "", ARGV[1] == "new")
    puts JSON.generate(found)
  end
end

load ARGV[0]
